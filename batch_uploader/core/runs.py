"""The ledger's record of a run."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

BY_ERROR: Final = "error"
"""The ending of a run that raised an error; all other words are those of ``Ending``."""
KILLED: Final = "killed"
"""The ending of a run whose end was never recorded: it was killed, or the disk was full."""


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
    library.
    """

    ending: str
    reason: str | None = None
    exit_code: int | None = None
    counts: Mapping[str, int] = {}
    uploaded_bytes: int = 0
    uploaded_duration: float = 0.0


class Run(Struct, frozen=True):
    """A recorded run. Times are UTC nanoseconds since the epoch, by the clock of its machine.

    ``end`` and ``ended_at_ns`` are None while it goes on; ``ended_at_ns`` also if it was killed.
    """

    connection_id: str
    begin: RunBegin
    began_at_ns: int
    end: RunEnd | None = None
    ended_at_ns: int | None = None
