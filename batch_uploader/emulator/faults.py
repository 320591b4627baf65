"""What the emulator does wrong on purpose, and when.

A decision depends on the seed, on the recording and on how often it was tried, never on time or on
the order in which requests arrive. So the same load meets the same faults however concurrent it is.
"""

import hashlib
import math
from enum import StrEnum

import grpc
from msgspec import Struct

from batch_uploader.core.errors import BadValue


class LostAnswer(StrEnum):
    """What a client gets to see of a talk that was stored and whose answer is lost."""

    SILENCE = "silence"
    """Nothing, until its own deadline."""
    INTERNAL = "internal"
    """INTERNAL."""
    PROXY = "proxy"
    """UNAVAILABLE in the words of a proxy whose backend went away."""
    RESET = "reset"
    """Its connection is reset, with all the RPCs on it; needs the relay."""
    BLANK = "blank"
    """OK without a talk ID."""


class Fault(StrEnum):
    """What may go wrong with one attempt; each is the name of its probability in Faults."""

    UNAVAILABLE = "unavailable"
    EXHAUSTED = "exhausted"
    ABORT_EARLY = "abort_early"
    SILENT = "silent"
    EARLY_OK = "early_ok"
    LOSE_ANSWER = "lose_answer"


class Outage(Struct, frozen=True):
    """Nobody listens on the port for ``length`` seconds, ``start`` seconds after it was asked for.

    What is in flight when it begins is cut off.
    """

    start: float
    length: float


class Faults(Struct, frozen=True):
    """Every knob, all off. Durations are seconds, probabilities between 0 and 1.

    At most one fault hits an attempt at an upload, so their probabilities add up to 1 at most.
    Raises BadValue where a number makes no sense.
    """

    seed: int = 0

    unavailable: float = 0.0
    """Answers UNAVAILABLE, nothing stored."""
    exhausted: float = 0.0
    """Answers RESOURCE_EXHAUSTED, nothing stored."""
    pushback: float | None = None
    """The pause that these two ask for, negative: no retry at all. None: they do not say."""
    abort_early: float = 0.0
    """Refuses a stream after its first message, without reading on; nothing stored."""
    abort_code: grpc.StatusCode = grpc.StatusCode.ABORTED
    """What ``abort_early`` answers."""
    silent: float = 0.0
    """Reads everything, stores nothing, never answers."""
    early_ok: float = 0.0
    """Answers a stream with a talk ID after its first chunk; what came is stored, as truncated."""
    lose_answer: float = 0.0
    """Stores, and then behaves as ``lost_answer`` says."""
    lost_answer: LostAnswer = LostAnswer.SILENCE

    store_late: float = 0.0
    """How long after its last byte a talk is stored, whether or not the client still waits."""
    die_before_storing: int | None = None
    """The process ends on the spot with the nth upload received, before it is stored."""
    die_after_storing: int | None = None
    """The same after it is stored and before it is answered."""
    revoke_after: int | None = None
    """After so many requests every credential is refused."""

    max_rate: float | None = None
    """So many uploads a second are taken, and a second's worth at once; RESOURCE_EXHAUSTED is what
    comes on top, nothing stored."""
    latency: float = 0.0
    """Added to every RPC."""
    bandwidth: float | None = None
    """Bytes a second, for all uploads together; a stream feels it as backpressure."""
    outage: Outage | None = None
    search_lag: float = 0.0
    """How long after being stored a talk is found by Search."""
    search_unavailable: float = 0.0
    """The probability that Search and Get answer UNAVAILABLE."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in (*Fault, "search_unavailable"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadValue(f"{_flag(name)} is not a probability", hint="give 0 to 1")
        if math.fsum(getattr(self, name) for name in Fault) > 1:
            names = ", ".join(_flag(name) for name in Fault)
            raise BadValue(
                "an upload has one fault at most, and the probabilities add up to more than 1",
                hint=f"lower some of {names}",
            )
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in _NOT_NEGATIVE and value is not None and not 0 <= value < math.inf:
                raise BadValue(f"{_flag(name)} cannot be negative or infinite")
        for name in ("die_before_storing", "die_after_storing"):
            if getattr(self, name) == 0:
                raise BadValue(f"{_flag(name)} counts uploads from 1")
        if self.bandwidth == 0:
            raise BadValue("a bandwidth of 0 allows nothing", hint="leave it out for no limit")
        if self.max_rate == 0:
            raise BadValue("a max-rate of 0 allows nothing", hint="leave it out for no limit")

    def fault(self, identity: bytes, attempt: int) -> Fault | None:
        """The fault of the ``attempt``th try (from 0) at the upload of that identity."""
        # "mishap", as it was called at first: a seed draws the same faults as ever.
        draw = self._draw("mishap", identity, attempt)
        for fault in Fault:
            draw -= getattr(self, fault)
            if draw < 0:
                return fault
        return None

    def search_fails(self, ordinal: int) -> bool:
        """Whether the nth query of a server fails."""
        return self._draw("search", b"", ordinal) < self.search_unavailable

    def _draw(self, what: str, identity: bytes, ordinal: int) -> float:
        name = b"%d|%s|%d|" % (self.seed, what.encode(), ordinal)
        return int.from_bytes(hashlib.blake2b(name + identity, digest_size=6).digest()) / 2**48


def status_code(name: str) -> grpc.StatusCode:
    """The status of that name in capitals, OK excluded. Raises BadValue."""
    names = {code.name: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    if name not in names:
        raise BadValue(
            f"{name!r} is not a gRPC status", hint=f"the statuses are {', '.join(names)}"
        )
    return names[name]


_NOT_NEGATIVE = frozenset(
    {
        "store_late",
        "die_before_storing",
        "die_after_storing",
        "revoke_after",
        "latency",
        "bandwidth",
        "max_rate",
        "search_lag",
    }
)


def _flag(name: str) -> str:
    return name.replace("_", "-")
