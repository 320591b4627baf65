"""How fast: how many at once, how often, how many bytes; what is done when nothing gets through.

``Governor`` decides, as a function of the events and of the time that it is told; ``Pacer`` makes
the workers wait for its decisions. The rest are its parts, each pure and by itself.
"""

from batch_uploader.pace.allowance import Allowance
from batch_uploader.pace.bandwidth import Pipe, Timetable
from batch_uploader.pace.bell import Bell
from batch_uploader.pace.governor import Caps, Governor, Verdict
from batch_uploader.pace.memory import ByteBudget
from batch_uploader.pace.pacer import Pacer, Turn

__all__ = [
    "Allowance",
    "Bell",
    "ByteBudget",
    "Caps",
    "Governor",
    "Pacer",
    "Pipe",
    "Timetable",
    "Turn",
    "Verdict",
]
