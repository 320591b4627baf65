"""The ledger in an SQLite file: one run writes it, others may read it meanwhile.

The only import of sqlite3 besides the emulator's.
"""

from batch_uploader.ledgers.sqlite.glance import Glance, glance_at, is_ledger
from batch_uploader.ledgers.sqlite.hold import is_running, remains
from batch_uploader.ledgers.sqlite.identity import is_copy
from batch_uploader.ledgers.sqlite.journal import kept_answers
from batch_uploader.ledgers.sqlite.ledger import SqliteLedger
from batch_uploader.ledgers.sqlite.mark import require_last
from batch_uploader.ledgers.sqlite.place import require_place
from batch_uploader.ledgers.sqlite.reader import LedgerReader, Totals
from batch_uploader.ledgers.sqlite.replacing import Replacement
from batch_uploader.ledgers.sqlite.scratch import ScratchLedger, is_foretold
from batch_uploader.ledgers.sqlite.soundness import require_sound

__all__ = [
    "Glance",
    "LedgerReader",
    "Replacement",
    "ScratchLedger",
    "SqliteLedger",
    "Totals",
    "glance_at",
    "is_copy",
    "is_foretold",
    "is_ledger",
    "is_running",
    "kept_answers",
    "remains",
    "require_last",
    "require_place",
    "require_sound",
]
