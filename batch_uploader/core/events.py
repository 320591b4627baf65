"""What happens in a run, as frozen values for whoever listens: displays, logs, programs.

A listener is called on the event loop, in order, and must return quickly. One that raises is not
called again; the run drains and raises that at its end. No event carries a secret or a
metadata value.
"""

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from batch_uploader.core.model import Outcome, Summary


class RunStarted(Struct, frozen=True):
    """The ledger is open and the scan begins. ``source`` names what is uploaded, for a human."""

    run_id: str
    source: str


class FolderPlanned(Struct, frozen=True):
    """A folder was listed and compared with the ledger: ``to_send`` recordings are to be sent.

    ``waiting`` are too young. ``forgotten`` were never stored, and their files are gone.
    """

    folder: str
    to_send: int
    to_send_bytes: int
    already_there: int
    waiting: int
    forgotten: int = 0


class Decided(Struct, frozen=True):
    """Why one recording is sent, skipped or held: for those who ask for explanations."""

    path: str
    decision: str
    reason: str


class ScanFinished(Struct, frozen=True):
    """All that this run has to send is counted, with what it has sent already.

    Comes at the end of the scan or, if the uploads hold that up, from a count that runs ahead of
    them; folders may still be planned then.
    """

    to_send: int
    to_send_bytes: int


class UploadStarted(Struct, frozen=True):
    """A recording is claimed, its first attempt begins. ``size`` in bytes."""

    path: str
    size: int


class BytesSent(Struct, frozen=True):
    """``nbytes`` more bytes of a recording's audio left; of this attempt alone."""

    path: str
    nbytes: int


class AttemptEnded(Struct, frozen=True):
    """One attempt is over: ``code`` is ``OK`` or why not, ``elapsed`` how long it took.

    ``wire_bytes`` is how many bytes of audio left. ``retry_in`` is the pause before the next
    attempt in seconds, None where there will be none. ``talk_id`` is there if all went well, also
    when the ledger fails to record it right afterwards.
    """

    path: str
    attempt: int
    client_request_id: str
    request_id: str | None
    code: str
    message: str
    wire_bytes: int
    elapsed: float
    retry_in: float | None
    talk_id: str | None = None


class Settled(Struct, frozen=True):
    """A recording that ``FolderPlanned.to_send`` counted reached the end of its way in this run."""

    outcome: Outcome


class ProblemFound(Struct, frozen=True):
    """Something that was never counted as to be sent needs a human, such as an orphan."""

    outcome: Outcome


class Unreadable(Struct, frozen=True):
    """Something cannot be read, or listed: of no size, it is not in the ledger, only told."""

    outcome: Outcome


class AlreadyThere(Struct, frozen=True):
    """A recording counted as to be sent turned out to be up: its file was only touched.

    ``outdated`` tells that its sidecar differs from what the talk holds.
    """

    path: str
    size: int
    outdated: bool


class ComparisonStarted(Struct, frozen=True):
    """All else has been sent: ``to_compare`` of what is already there are compared now.

    Their sizes and modification times are the same, but their change times or inodes are new.
    """

    to_compare: int
    to_compare_bytes: int


class Comparison(StrEnum):
    """What the comparison of files with the same sizes and modification times found."""

    SAME = "same"
    """They were only touched."""
    OUTDATED = "outdated"
    """The audio is as it was, but not what the sidecar says."""
    CHANGED = "changed"
    """The audio is another: it is uploaded as a new recording."""
    UNREAD = "unread"
    """They could not be read; the next run tries again."""


class Compared(Struct, frozen=True):
    """One of those that ``ComparisonStarted`` counted was compared."""

    path: str
    size: int
    found: Comparison


class Waiting(Struct, frozen=True):
    """A recording counted as to be sent was still being written; the next run looks again."""

    path: str
    size: int


class ReturnedUnsent(Struct, frozen=True):
    """A recording was given back unsent, since the run is ending; the next run sends it."""

    path: str
    size: int


class CarriedOver(Struct, frozen=True):
    """What an earlier run left: open (in doubt, conflict) or ended (rejected, invalid).

    It is not touched by this run, and a human must look at it.
    """

    outcome: Outcome


class Reconciled(Struct, frozen=True):
    """A search brought news of a recording in doubt: up, in conflict, still in doubt, or absent.

    Absent is ``failed`` and counts as that until this run takes it up again, which it does once and
    if its file is there. ``before`` is what this run had reported of it, None if it had not yet.
    """

    outcome: Outcome
    before: Outcome | None


class DoubtsWaiting(Struct, frozen=True):
    """The run waits for recordings in doubt alone; in ``resumes_in`` seconds it searches again."""

    resumes_in: float
    recordings: int


class Paused(Struct, frozen=True):
    """Nothing is sent for ``resumes_in`` seconds: the service throttles or cannot be reached.

    ``reason`` says which, and what to do about it.
    """

    resumes_in: float
    reason: str


class Draining(Struct, frozen=True):
    """No new work is begun; what is in flight is finished."""

    reason: str


class RunFinished(Struct, frozen=True):
    """The last event of a run that was not cut off."""

    summary: Summary


Event = (
    RunStarted
    | FolderPlanned
    | Decided
    | ScanFinished
    | UploadStarted
    | BytesSent
    | AttemptEnded
    | Settled
    | ProblemFound
    | Unreadable
    | AlreadyThere
    | ComparisonStarted
    | Compared
    | Waiting
    | ReturnedUnsent
    | CarriedOver
    | Reconciled
    | DoubtsWaiting
    | Paused
    | Draining
    | RunFinished
)

Listener = Callable[[Event], None]
