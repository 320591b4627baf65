"""Limits concurrency, rate and bandwidth, and handles outages.

``Governor`` decides, as a function of the events and times passed to it; ``Pacer`` makes the
workers wait for its decisions. The other modules are its parts, pure and independent.
"""

from batch_uploader.pace.governor import Caps, Consequence, Governor
from batch_uploader.pace.limits import RunLimits
from batch_uploader.pace.memory import ByteBudget
from batch_uploader.pace.notifier import Notifier
from batch_uploader.pace.pacer import Pacer, Permit
from batch_uploader.pace.token_bucket import Timetable, TokenBucket

__all__ = [
    "ByteBudget",
    "Caps",
    "Consequence",
    "Governor",
    "Notifier",
    "Pacer",
    "Permit",
    "RunLimits",
    "Timetable",
    "TokenBucket",
]
