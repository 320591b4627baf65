"""Whether the file of a ledger is sound."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.text import sentence
from batch_uploader.ledgers.sqlite.file import connect_reading, translated
from batch_uploader.ledgers.sqlite.place import SAVE

_STEPS: Final = 10_000
"""Of SQLite's machine, between two looks at the time: less than a millisecond."""


def require_sound(path: Path, *, seconds: float) -> bool:
    """Check the structure of a ledger, also during a run. Blocking.

    Returns whether all of it was read within ``seconds``. Raises LedgerError if it is damaged or
    cannot be read.
    """
    end = time.monotonic() + seconds
    with translated(path), closing(connect_reading(path)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            (finding,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_INTERRUPT:
                return False
            raise
    if finding != "ok":
        raise LedgerError(
            f"the ledger {path} cannot be used: it is damaged ({sentence(str(finding))})", hint=SAVE
        )
    return True
