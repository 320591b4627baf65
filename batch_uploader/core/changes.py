"""Changes to a ledger, as values: they can be collected, or sent to another process."""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct, field

from batch_uploader.core.errors import LedgerError
from batch_uploader.core.identity import Identity
from batch_uploader.core.model import Outcome, Recording, Version
from batch_uploader.core.records import ClaimAnswer, Lost, Record, SharedIds, Sight
from batch_uploader.core.runs import RunBegin, RunEnd


class Claim(Struct, frozen=True, tag=True):
    """Claim a recording for sending; a duplicate, or a possible one, is recorded instead.

    ``stamp_field`` is the field that its key will be sent in, ``policy`` the digest of the rules,
    ``sights`` what looks at the files of other records showed, by path. Answered by a
    ``ClaimAnswer``.
    """

    recording: Recording
    stamp_field: str | None = None
    policy: bytes | None = None
    sights: Mapping[str, Sight] = field(default_factory=dict)


class Rejudge(Struct, frozen=True, tag=True):
    """Compare a possible duplicate again with what is on record now.

    ``sights`` as for a claim. Answered by a ``ClaimAnswer``: granted if it is another call, and
    then nothing is on record for the path.
    """

    path: str
    sights: Mapping[str, Sight] = field(default_factory=dict)


class JudgeDefaultIds(Struct, frozen=True, tag=True):
    """Find out whether equal default IDs prove anything in this source, by what is held for them.

    Answered by ``SharedIds`` if they do not, which is recorded for good, else by None.
    """


class Release(Struct, frozen=True, tag=True):
    """Drop a claim of which nothing was sent; nothing is on record for the path then.

    Answered by ``Lost`` if this owner has no claim at that path.
    """

    path: str


class Settle(Struct, frozen=True, tag=True):
    """Record how a recording ended. Answered by the outcome that is on record then.

    That is a conflict if the talk already belongs to another recording, superseded or not; the
    other one stays as it is. Ends a claim, or records an outcome that needed none (invalid,
    duplicate). ``policy`` is the digest of the rules by which an invalid recording was found
    invalid. With ``claimed`` it only ends a claim of this owner, and is answered by ``Lost`` if
    that is gone. It never ends the claim of another owner.
    """

    outcome: Outcome
    policy: bytes | None = None
    claimed: bool = False


class Note(Struct, frozen=True, tag=True):
    """Record what a search found out about a doubt that stays: failure, ``since``, ``first_miss``.

    Does nothing if the recording has left the state in doubt, or has another key.
    """

    doubt: Record


class Learn(Struct, frozen=True, tag=True):
    """Record the change times and inodes of a recording whose files are like those on record.

    Does nothing while it is being sent, or if other files are on record by now.
    """

    path: str
    stat: Version


class LearnIdentity(Struct, frozen=True, tag=True):
    """Record what an older version did not of the identity of a recording.

    ``corrected``: the IDs are those of a corrected sidecar, and replace the ones on record.
    Does nothing while it is being sent, or if other files are on record by now.
    """

    path: str
    stat: Version
    identity: Identity
    corrected: bool = False


class Forget(Struct, frozen=True, tag=True):
    """Drop a recording whose file is gone, if it is proved that nothing of it is stored."""

    path: str


class TakeBack(Struct, frozen=True, tag=True):
    """Put a recording in doubt again whose talk a human named by mistake.

    Answered by a LedgerError if it is not uploaded as this talk, or if the service named it.
    """

    path: str
    talk_id: str


class Remember(Struct, frozen=True, tag=True):
    """Store a fact about the ledger itself, replacing the one of that name."""

    name: str
    value: str


class Adopt(Struct, frozen=True, tag=True):
    """Take a line of a lost ledger's manifest into a new ledger.

    ``stamp_field`` is the field that its key was sent in. A line that proves nothing becomes a
    doubt.
    """

    row: Record
    stamp_field: str | None = None


class TakeOver(Struct, frozen=True, tag=True):
    """Take over a record of another ledger, with the path that it has in this one.

    Answered by a LedgerError if both have a doubt about different audio at that path.
    """

    row: Record


class BeginRun(Struct, frozen=True, tag=True):
    """Record that a run of this owner and connection begins."""

    run: RunBegin


class EndRun(Struct, frozen=True, tag=True):
    """Record how a run ended, unless that is already on record."""

    run_id: str
    end: RunEnd


Unanswered: TypeAlias = (
    Learn
    | LearnIdentity
    | Note
    | Forget
    | TakeBack
    | Remember
    | Adopt
    | TakeOver
    | BeginRun
    | EndRun
)
Change: TypeAlias = Claim | Rejudge | JudgeDefaultIds | Settle | Release | Unanswered
Told: TypeAlias = ClaimAnswer | Outcome | SharedIds | None
Made: TypeAlias = Told | Lost
Answer: TypeAlias = Made | LedgerError
"""The answer to a change; a LedgerError if it was refused or could not be made."""
