"""The events of a run, as frozen values for its listeners: displays, logs, programs.

A listener is called on the event loop, in order, and must return quickly. One that raises is not
called again; the run drains and raises the error at its end. No event carries a secret, and only
``DefaultIdsOff`` metadata values, which are not of one call.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct, field

from batch_uploader.core.model import Outcome, PassedOver, Summary


class RunStarted(Struct, frozen=True):
    """The ledger is open and the scan begins. ``source`` names what is uploaded, for a human."""

    run_id: str
    source: str


class FolderPlanned(Struct, frozen=True):
    """A folder was listed and compared with the ledger: ``to_send`` recordings are to be sent.

    ``waiting`` may not be complete yet, ``waiting_for`` has their numbers by what they wait for (a
    ``Wait``). ``forgotten`` were never stored and their files are gone. ``left_out_by`` counts
    those that a filter leaves out, by filter: those outside the sample, and what an earlier run
    inspected. ``recorded`` of both are new as such.
    """

    folder: str
    to_send: int
    to_send_bytes: int
    already_there: int
    waiting: int
    forgotten: int = 0
    left_out_by: Mapping[str, int] = field(default_factory=dict)
    recorded: int = 0
    waiting_for: Mapping[str, int] = field(default_factory=dict)


class Decided(Struct, frozen=True):
    """Why one recording is sent, skipped or held; for ``--explain``."""

    path: str
    decision: str
    reason: str


class ScanFinished(Struct, frozen=True):
    """The number of recordings that this run has to send is known, including those sent already.

    Comes at the end of the scan or, if the uploads hold the scan up, from a count that runs ahead
    of them; folders may still be planned after it.
    """

    to_send: int
    to_send_bytes: int


class UploadStarted(Struct, frozen=True):
    """A recording is claimed and its first attempt begins. ``size`` is in bytes."""

    path: str
    size: int


class BytesSent(Struct, frozen=True):
    """This attempt sent ``nbytes`` more bytes of the recording's audio."""

    path: str
    nbytes: int


class AttemptEnded(Struct, frozen=True):
    """One attempt ended: ``code`` is ``OK`` or the reason, ``elapsed`` its duration in seconds.

    ``wire_bytes`` is how many bytes of audio were sent. ``retry_in`` is the pause before the next
    attempt in seconds, None after the last one. ``talk_id`` is set if it succeeded, even if the
    ledger then fails to record it.
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
    """A recording counted in ``FolderPlanned.to_send`` has its final outcome of this run."""

    outcome: Outcome


class ProblemFound(Struct, frozen=True):
    """A problem that needs a human, with a file that was not counted in ``to_send``: an orphan."""

    outcome: Outcome


class Unreadable(Struct, frozen=True):
    """A file or folder cannot be read or listed; it has no size, and is not in the ledger."""

    outcome: Outcome


class AlreadyThere(Struct, frozen=True):
    """A recording counted in ``to_send`` is already uploaded: its file was only touched.

    ``outdated``: its sidecar differs from the metadata of the talk.
    """

    path: str
    size: int
    outdated: bool


class SetAside(Struct, frozen=True):
    """A recording counted in ``to_send`` may be a call that is on record already.

    Whether it is sent, or held for a human, is decided at the end of the scan.
    """

    path: str
    size: int


class Judged(Struct, frozen=True):
    """What was set aside, or held by an earlier run, is held or was found to be a duplicate.

    It is not counted in ``to_send``, or was counted as ``SetAside``.
    """

    outcome: Outcome


class DefaultIdsOff(Struct, frozen=True):
    """From now on recordings with the same date, operator and client are different calls.

    ``values`` are those of one of these IDs, ``examples`` recordings that share it; ``shared_ids``
    of ``ids`` stand in several recordings.
    """

    values: tuple[str, ...]
    examples: tuple[str, ...]
    shared_ids: int
    ids: int


class LearningStarted(Struct, frozen=True):
    """An older version recorded no IDs: those of unchanged recordings are read from the sidecars.

    Nothing is sent meanwhile. A run that is interrupted in it goes on with the next one.
    """


class ComparisonStarted(Struct, frozen=True):
    """All else was sent; ``to_compare`` files that are already uploaded are now compared.

    Their sizes and modification times are as recorded, their change times or inodes are not.
    """

    to_compare: int
    to_compare_bytes: int


class Comparison(StrEnum):
    """The result of comparing files whose sizes and modification times are as recorded."""

    SAME = "same"
    """Content and metadata are as uploaded."""
    OUTDATED = "outdated"
    """The audio is as uploaded, the metadata of the sidecar are not."""
    CHANGED = "changed"
    """The audio differs: it is compared with what is on record, then uploaded or held."""
    UNREAD = "unread"
    """The files could not be read; the next run tries again."""


class Compared(Struct, frozen=True):
    """One of the recordings counted in ``ComparisonStarted`` was compared."""

    path: str
    size: int
    found: Comparison


class Waiting(Struct, frozen=True):
    """A recording counted in ``to_send`` may not be complete yet; the next run checks it again.

    ``code`` is what it waits for (a ``Wait``), None if another run has it.
    """

    path: str
    size: int
    code: str | None = None


class ReturnedUnsent(Struct, frozen=True):
    """The run is ending, so a recording stays unsent; the next run sends it."""

    path: str
    size: int


class CarriedOver(Struct, frozen=True):
    """A recording that an earlier run left in doubt, conflict, rejected or invalid.

    This run does not touch it; it needs a human.
    """

    outcome: Outcome


class Reconciled(Struct, frozen=True):
    """The result of a search for a recording in doubt: uploaded, conflict, in doubt, or absent.

    Absent has the status ``failed`` and counts as such until this run sends it again, which it does
    once if its file is there. ``before`` is the status that this run had reported before, None if
    it had not.
    """

    outcome: Outcome
    before: Outcome | None


class DoubtsWaiting(Struct, frozen=True):
    """Only recordings in doubt are left; the run searches again in ``resumes_in`` seconds."""

    resumes_in: float
    recordings: int


class Paused(Struct, frozen=True):
    """Nothing is sent for ``resumes_in`` seconds: the service throttles or cannot be reached.

    ``reason`` says why, and what to do about it.
    """

    resumes_in: float
    reason: str


class RenewalFailed(Struct, frozen=True):
    """The credentials could not be renewed ahead of time; attempts to renew them go on.

    Those in use expire in ``expires_in`` seconds; None: that is not known. ``reason`` says why, and
    what to do about it.
    """

    expires_in: float | None
    reason: str


class Draining(Struct, frozen=True):
    """The run starts no new work and finishes what is in flight."""

    reason: str


class MostGone(Struct, frozen=True):
    """More than half of the recordings on record that the run before saw are gone at once.

    Nothing was forgotten, since the share may not be mounted. ``gone`` of ``on_record`` are gone,
    without those that were found at another path.
    """

    gone: int
    on_record: int


class FilesPassedOver(Struct, frozen=True):
    """Files that look like audio are not taken: ``kinds``, the most frequent first."""

    kinds: tuple[PassedOver, ...]


class RunFinished(Struct, frozen=True):
    """The last event of a run, unless the run was cancelled."""

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
    | SetAside
    | Judged
    | DefaultIdsOff
    | LearningStarted
    | ComparisonStarted
    | Compared
    | Waiting
    | ReturnedUnsent
    | CarriedOver
    | Reconciled
    | DoubtsWaiting
    | Paused
    | RenewalFailed
    | Draining
    | MostGone
    | FilesPassedOver
    | RunFinished
)

Listener = Callable[[Event], None]
