"""How a run behaves."""

from msgspec import Struct, field

from batch_uploader.core.checks import require_number, require_type, require_whole
from batch_uploader.pace import Timetable
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.plan.patience import Ages

_MIB = 1024 * 1024
MOST_CONCURRENT = 1024
SHORTEST_HOLD = 1.0
"""In seconds."""


class RunOptions(Struct, frozen=True):
    """How a run behaves; times in seconds, sizes in bytes. Raises ConfigError for invalid values.

    ``concurrency`` is the maximum of uploads in flight; the actual number adapts. ``rate`` is the
    maximum of requests a second, ``bandwidth`` that of bytes a second. ``memory`` limits the
    audio in memory for all uploads in flight, ``expanded_memory`` the same if many connections
    are faster than a few and the machine has as much to spare. Files modified within
    ``min_age`` are left to the next run, and so is audio that does not show its end if it was
    modified within ``min_age_open``, and a recording whose sidecar may still come within
    ``sidecar_wait``. A draining run waits ``grace`` for what is in flight before it cancels it.
    The run ends after ``max_recordings``, after ``max_audio`` seconds of audio, or when no
    upload has succeeded for ``max_outage``. ``hold`` is how long to wait before a failed Search
    counts as proof that a recording in doubt was not stored; ``wait_for_doubt`` keeps the run
    going until then. ``trust_times`` treats files of the same size and modification time as
    unchanged, even if their change time or inode is new. ``allow_empty`` records that files
    leave the source on purpose, so that it may be empty. ``explain`` publishes ``Decided``
    events.
    """

    # Enough for 30 a second if an answer takes one second; after a power cut as many may be in
    # doubt.
    concurrency: int = 32
    rate: float | None = None
    bandwidth: Timetable | None = None
    memory: int = 96 * _MIB
    expanded_memory: int = 256 * _MIB
    min_age: float = 2.0
    min_age_open: float = 300.0
    sidecar_wait: float = 600.0
    grace: float = 60.0
    max_recordings: int | None = None
    max_audio: float | None = None
    max_outage: float = 7200.0
    trust_times: bool = False
    allow_empty: bool = False
    explain: bool = False
    hold: float = 1800.0
    wait_for_doubt: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def ages(self) -> Ages:
        """How long files are left alone."""
        return Ages(self.min_age, self.min_age_open, self.sidecar_wait)

    def __post_init__(self) -> None:
        require_whole("concurrency", self.concurrency, least=1, most=MOST_CONCURRENT)
        require_number("rate", self.rate, above=0, optional=True)
        require_type("bandwidth", self.bandwidth, Timetable, optional=True)
        require_type("retry", self.retry, RetryPolicy)
        for switch in ("trust_times", "allow_empty", "explain", "wait_for_doubt"):
            require_type(switch, getattr(self, switch), bool)
        require_whole("memory", self.memory, least=1)
        require_whole("expanded_memory", self.expanded_memory, least=1)
        for age in ("min_age", "min_age_open", "sidecar_wait"):
            require_number(age, getattr(self, age))
        require_number("grace", self.grace)
        require_whole("max_recordings", self.max_recordings, least=1, optional=True)
        require_number("max_audio", self.max_audio, above=0, optional=True)
        require_number("max_outage", self.max_outage, above=0)
        # Search finds a talk only after a while, and what it misses is sent again.
        require_number("hold", self.hold, least=SHORTEST_HOLD)
