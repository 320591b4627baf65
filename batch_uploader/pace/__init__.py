"""How fast: how many at once, how often, how many bytes; what is done when nothing gets through.

``Governor`` decides, as a function of the events and of the time that it is told; ``Pacer`` makes
the workers wait for its decisions. The rest are its parts, each pure and by itself.
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
