"""The ledger's record of a run."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from batch_uploader.core.model import Ending

Attention: TypeAlias = Mapping[str, Mapping[str, int]]
"""How many recordings need a human: by status, then by the code of the error or the cause."""

BY_ERROR: Final = "error"
"""The ending of a run that raised an error; all other words are those of ``Ending``."""
KILLED: Final = "killed"
"""The ending of a run whose end was never recorded: it was killed, or the disk was full."""
LOCKED_OUT: Final = 5
"""The exit code of a run that met another one."""
FINE: Final = (0, 1)
"""The exit codes of runs that did all that they could."""


class RunBegin(Struct, frozen=True):
    """What is known of a run when it begins.

    ``settings`` is a JSON object of the settings that determine what it does, without secrets.
    """

    run_id: str
    version: str
    host: str
    pid: int
    settings: str


class RunEnd(Struct, frozen=True):
    """What is known of a run at its end, whatever ended it.

    ``counts`` are recordings by status, as in its summary; ``exit_code`` is None for a run of the
    library. ``left_over`` recordings were to be sent and are left to the next run. ``attention`` is
    all on record that needs a human when the run has ended; the ledger counts it, and it is None
    for runs of older versions, and for those that were killed.
    """

    ending: str
    reason: str | None = None
    exit_code: int | None = None
    counts: Mapping[str, int] = {}
    uploaded_bytes: int = 0
    uploaded_duration: float = 0.0
    left_over: int = 0
    attention: Attention | None = None

    @property
    def needed_attention(self) -> int | None:
        """How many recordings needed a human when it had ended; None if that is not on record."""
        if self.attention is None:
            return None
        return sum(number for codes in self.attention.values() for number in codes.values())

    @property
    def is_bad(self) -> bool:
        """Whether the run did not do all that it could."""
        if self.exit_code is not None:
            return self.exit_code not in FINE
        return self.ending != Ending.COMPLETED


class Run(Struct, frozen=True):
    """A recorded run. Times are UTC nanoseconds since the epoch, by the clock of its machine.

    ``end`` and ``ended_at_ns`` are None while it goes on; ``ended_at_ns`` also if it was killed.
    """

    connection_id: str
    begin: RunBegin
    began_at_ns: int
    end: RunEnd | None = None
    ended_at_ns: int | None = None


def attention_of(counts: Iterable[tuple[str, str, int]]) -> Attention:
    """What needs a human, of statuses and codes with their numbers."""
    found: dict[str, dict[str, int]] = {}
    for status, code, number in counts:
        found.setdefault(status, {})[code] = number
    return found
