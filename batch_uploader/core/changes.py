"""What a ledger is told, as values: they may be kept in a list, or cross to another process."""

from typing import TypeAlias

from msgspec import Struct

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.model import Outcome, Recording, Stat
from batch_uploader.core.records import ClaimAnswer, Lost, Record
from batch_uploader.core.runs import RunBegin, RunEnd


class Claim(Struct, frozen=True, tag=True):
    """Claim a recording for sending; a duplicate is on record with its fingerprint then.

    ``stamp_field`` is the field in which its key will stand. Answered by a ``ClaimAnswer``.
    """

    recording: Recording
    stamp_field: str | None = None


class Release(Struct, frozen=True, tag=True):
    """Take back a claim of which nothing was sent; the path is as if unseen.

    It is ``Lost`` if this owner has none at that path.
    """

    path: str


class Settle(Struct, frozen=True, tag=True):
    """Record how a recording ended. Answered by the outcome that is on record then.

    That is a conflict where the talk is another recording's already, superseded or not: that one
    stays as it is. Ends a claim, or records an outcome that needed none (invalid, duplicate).
    ``policy`` is the digest of the rules by which an invalid recording was found invalid. With
    ``claimed`` it ends a claim of this owner, and nothing else: it is ``Lost`` if that is gone. No
    settling ends the claim of another owner.
    """

    outcome: Outcome
    policy: bytes | None = None
    claimed: bool = False


class Note(Struct, frozen=True, tag=True):
    """Remember what a look at a doubt that stays brought: failure, ``since`` and ``first_miss``.

    One that is not in doubt any more, or under another key, is left as it is.
    """

    doubt: Record


class Learn(Struct, frozen=True, tag=True):
    """Record times of change and inodes of a recording whose files are like those on record.

    What is being sent, or has other files by now, is left as it is.
    """

    path: str
    stat: Stat


class Forget(Struct, frozen=True, tag=True):
    """Drop a recording whose file is gone, if it is proved that nothing of it is stored."""

    path: str


class Remember(Struct, frozen=True, tag=True):
    """Keep a fact of the ledger itself, in the place of the one of that name."""

    name: str
    value: str


class Adopt(Struct, frozen=True, tag=True):
    """Take over a line of a lost ledger's manifest into a ledger that is new.

    ``stamp_field`` is the field in which its key stands. What it leaves open is in doubt.
    """

    row: Record
    stamp_field: str | None = None


class BeginRun(Struct, frozen=True, tag=True):
    """Record that a run begins; this owner's, and of this connection."""

    run: RunBegin


class EndRun(Struct, frozen=True, tag=True):
    """Record how a run ended, unless that is on record."""

    run_id: str
    end: RunEnd


Unanswered: TypeAlias = Learn | Note | Forget | Remember | Adopt | BeginRun | EndRun
Change: TypeAlias = Claim | Settle | Release | Unanswered
Answer: TypeAlias = ClaimAnswer | Outcome | Lost | LedgerError | None
"""A change that is refused, or that could not be made, has the error for an answer."""
