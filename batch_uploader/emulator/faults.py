"""Deliberate faults of the emulator.

A decision depends on the seed, the recording and the number of its attempts, never on time or on
the order of requests. So the same load has the same faults at any concurrency.
"""

import hashlib
import math
from enum import StrEnum

import grpc
from msgspec import Struct

from batch_uploader.core.errors import BadValue


class LostAnswer(StrEnum):
    """What a client receives if a talk was stored and its answer is lost."""

    SILENCE = "silence"
    """Nothing, until its own deadline."""
    INTERNAL = "internal"
    """INTERNAL."""
    PROXY = "proxy"
    """UNAVAILABLE with the text of a proxy whose backend went away."""
    RESET = "reset"
    """A reset of its connection with all RPCs on it; needs the relay."""
    BLANK = "blank"
    """OK without a talk ID."""


class Fault(StrEnum):
    """The faults of one attempt; each is the name of its probability in Faults."""

    UNAVAILABLE = "unavailable"
    EXHAUSTED = "exhausted"
    ABORT_EARLY = "abort_early"
    SILENT = "silent"
    EARLY_OK = "early_ok"
    LOSE_ANSWER = "lose_answer"


class Outage(Struct, frozen=True):
    """The port is closed for ``length`` seconds, ``start`` seconds after this was set.

    What is in flight at its beginning is cut off.
    """

    start: float
    length: float


class Faults(Struct, frozen=True):
    """All faults, by default off. Durations are seconds, probabilities between 0 and 1.

    An attempt at an upload has at most one fault, so the sum of their probabilities is at most 1.
    Raises BadValue for invalid numbers.
    """

    seed: int = 0

    unavailable: float = 0.0
    """Answers UNAVAILABLE, nothing stored."""
    exhausted: float = 0.0
    """Answers RESOURCE_EXHAUSTED, nothing stored."""
    pushback: float | None = None
    """The pause that these two ask for; negative: no retry; None: not given."""
    abort_early: float = 0.0
    """Refuses a stream after its first message, without reading the rest; nothing stored."""
    abort_code: grpc.StatusCode = grpc.StatusCode.ABORTED
    """What ``abort_early`` answers."""
    silent: float = 0.0
    """Reads everything, stores nothing and never answers."""
    early_ok: float = 0.0
    """Answers a stream with a talk ID after its first chunk; the received part is stored as
    truncated."""
    lose_answer: float = 0.0
    """Stores, and then acts as ``lost_answer`` says."""
    lost_answer: LostAnswer = LostAnswer.SILENCE

    store_late: float = 0.0
    """How long after its last byte a talk is stored, even if the client has gone."""
    die_before_storing: int | None = None
    """The process is killed with the nth received upload, before it is stored."""
    die_after_storing: int | None = None
    """The same, after it is stored and before it is answered."""
    revoke_after: int | None = None
    """The number of requests after which every credential is refused."""
    forget_tokens_after: int | None = None
    """The number of requests after which the tokens that were issued until then are refused."""

    max_rate: float | None = None
    """The uploads a second that are accepted, with bursts of a second's worth; further ones get
    RESOURCE_EXHAUSTED, nothing stored."""
    latency: float = 0.0
    """Added to every RPC."""
    bandwidth: float | None = None
    """Bytes a second, for all uploads together; streams get backpressure."""
    outage: Outage | None = None
    search_lag: float = 0.0
    """How long after a talk is stored Search finds it."""
    search_unavailable: float = 0.0
    """The probability that Search and Get answer UNAVAILABLE."""

    def __post_init__(self) -> None:
        """Raise BadValue for invalid values."""
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
        """The fault of attempt number ``attempt`` (from 0) at the upload of that identity."""
        # "mishap" was its first name, kept so that a seed draws the same faults as before.
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
    """The status of that name in capitals, except OK. Raises BadValue."""
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
        "forget_tokens_after",
        "latency",
        "bandwidth",
        "max_rate",
        "search_lag",
    }
)


def _flag(name: str) -> str:
    return name.replace("_", "-")
