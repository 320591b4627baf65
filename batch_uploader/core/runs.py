"""A run as the ledger keeps it, for whoever asks later what happened when."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

BY_ERROR: Final = "error"
"""How a run ended that an error ended as a whole; all other words are those of ``Ending``."""
KILLED: Final = "killed"
"""How a run ended of which the ledger never heard the end: killed, or its last word did not fit."""


class RunBegin(Struct, frozen=True):
    """What is known of a run when it begins.

    ``settings`` is a JSON object of those that say what it does, and no secret.
    """

    run_id: str
    version: str
    host: str
    pid: int
    settings: str


class RunEnd(Struct, frozen=True):
    """What is known of a run at its end, however it came.

    ``counts`` are recordings by the word of their state, as in its summary; ``exit_code`` is None
    where nobody ended a process with one.
    """

    ending: str
    reason: str | None = None
    exit_code: int | None = None
    counts: Mapping[str, int] = {}
    uploaded_bytes: int = 0
    uploaded_duration: float = 0.0


class Run(Struct, frozen=True):
    """A run on record. Times are UTC nanoseconds since the epoch, by the clock of its machine.

    ``end`` is None while it goes on; ``ended_at_ns`` as well where it was killed.
    """

    connection_id: str
    begin: RunBegin
    began_at_ns: int
    end: RunEnd | None = None
    ended_at_ns: int | None = None
