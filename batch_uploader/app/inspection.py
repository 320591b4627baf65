"""What a check finds: a folder as a run would find it, and the sums of all folders."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field

from batch_uploader.app.duplicates import DuplicateGroup
from batch_uploader.app.foretelling import Foretold
from batch_uploader.core.events import DefaultIdsOff
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import AudioInfo, Defect, Outcome, PassedOver
from batch_uploader.core.records import Record
from batch_uploader.core.states import NEEDS_ATTENTION, POSSIBLE, Action, Decision, Status
from batch_uploader.plan.batch import Batch
from batch_uploader.plan.decide import filter_of
from batch_uploader.prepare.describer import UnusableRows
from batch_uploader.prepare.legs.lookalikes import LooksLikeLegs

_ELSEWHERE = POSSIBLE | {Status.CLAIMED}
"""What is held in these states is told of in other numbers."""


class Finding(Struct, frozen=True):
    """The result of inspecting one recording: audio that would be sent, or defects.

    ``converts`` if its file is converted first, ``named`` if it has the ID of ``--call-id``,
    ``piece`` if it is one of a long file.
    """

    path: str
    size: int
    audio: AudioInfo | None
    defects: tuple[Defect, ...] = ()
    converts: bool = False
    named: bool = False
    piece: bool = False


class Inspection(Struct, frozen=True):
    """A folder as a run would find it, or the next part of a large one.

    ``findings`` are the inspected recordings, ``defects`` all defects, including those of other
    files, ``defective`` the number of files with defects. ``waiting`` are left to the next run,
    ``carried_over`` are what earlier runs left for a human, ``duplicates`` recordings whose
    call is on record, ``decisions`` all decisions if they were requested. The others count
    recordings, and ``read_bytes`` what was read of them; ``on_record`` are there and on record,
    which counts if the folder was ``listed``, and ``copies`` may be others that are.
    ``left_out_by`` counts what filters leave out, by filter, ``orphans`` sidecars alone;
    ``left_out`` are those of which no earlier run knows.
    """

    folder: str
    findings: tuple[Finding, ...] = ()
    defects: tuple[Defect, ...] = ()
    defective: int = 0
    carried_over: tuple[Outcome, ...] = ()
    decisions: tuple[tuple[str, Decision], ...] = ()
    already_there: int = 0
    to_compare: int = 0
    waiting: tuple[Outcome, ...] = ()
    in_flight: int = 0
    duplicates: tuple[Outcome, ...] = ()
    read_bytes: int = 0
    on_record: int = 0
    listed: bool = True
    copies: int = 0
    left_out_by: Mapping[str, int] = field(default_factory=dict)
    orphans: int = 0
    left_out: tuple[Outcome, ...] = ()


class CheckSummary(Struct):
    """The sums of a check; ``carried_over`` is what earlier runs left for a human, by status.

    ``to_send_bytes`` and ``to_send_duration``, in seconds, count the ``to_send`` recordings.
    ``to_compare`` of ``already_there`` have new change times, ``waiting`` may not be complete
    yet (``waiting_for`` has their numbers by what they wait for, as a ``Wait``), ``in_flight``
    are being sent by another run. ``defective`` counts files with at least one defect.
    ``duplicates`` are not sent, since their call is on record; ``converted`` of them are in
    another format. ``possible`` has the possible duplicates, those of earlier runs included, in
    groups. ``default_ids_off`` if the run would ignore default IDs. ``read_bytes`` were read.
    ``gone`` is how many recordings on record are gone, if these are most of them.
    ``left_out_by`` counts what filters leave out, by filter. ``passed_over`` are the files that
    look like audio and are not taken, by kind, ``lookalikes`` look like legs and are not joined.
    ``to_convert`` of ``to_send`` are converted, ``to_convert_duration`` seconds; ``unconverted``
    could be, but earlier versions refused them. ``faults`` are rows of tables that cannot be used,
    ``surprises`` what the run would do suddenly with other settings than those of the last one.
    ``named`` of ``to_send`` have the ID of ``--call-id``, ``orphans`` of ``defective`` are sidecars
    without recordings. ``held`` are the recordings of ``possible``. ``pieces`` of ``to_send`` are
    pieces of long files, ``pieces_duration`` seconds.
    """

    to_send: int = 0
    to_send_bytes: int = 0
    to_send_duration: float = 0.0
    already_there: int = 0
    to_compare: int = 0
    waiting: int = 0
    in_flight: int = 0
    carried_over: Counter[Status] = field(default_factory=Counter)
    defective: int = 0
    duplicates: int = 0
    converted: int = 0
    possible: tuple[DuplicateGroup, ...] = ()
    default_ids_off: DefaultIdsOff | None = None
    unconverted: int = 0
    to_convert: int = 0
    to_convert_duration: float = 0.0
    read_bytes: int = 0
    gone: int = 0
    left_out_by: Counter[str] = field(default_factory=Counter)
    passed_over: tuple[PassedOver, ...] = ()
    lookalikes: LooksLikeLegs | None = None
    faults: UnusableRows = UnusableRows()
    surprises: tuple[str, ...] = ()
    waiting_for: Counter[str] = field(default_factory=Counter)
    named: int = 0
    orphans: int = 0
    held: tuple[Record, ...] = ()
    pieces: int = 0
    pieces_duration: float = 0.0

    def add(self, seen: Inspection) -> None:
        """Add a folder."""
        for finding in seen.findings:
            if finding.audio is not None:
                self.to_send += 1
                self.to_send_bytes += finding.size
                self.to_send_duration += finding.audio.duration
                self.to_convert += finding.converts
                self.named += finding.named
                self.pieces += finding.piece
                self.pieces_duration += finding.audio.duration * finding.piece
                self.to_convert_duration += finding.audio.duration * finding.converts
        self.already_there += seen.already_there
        self.to_compare += seen.to_compare
        self.waiting += len(seen.waiting)
        self.waiting_for.update(each.failure.code for each in seen.waiting if each.failure)
        self.in_flight += seen.in_flight
        self.carried_over.update(outcome.status for outcome in seen.carried_over)
        self.defective += seen.defective
        self.duplicates += len(seen.duplicates)
        self.converted += sum(each.cause is Cause.CONVERTED for each in seen.duplicates)
        self.read_bytes += seen.read_bytes
        self.left_out_by.update(seen.left_out_by)
        self.orphans += seen.orphans

    @property
    def recordings(self) -> int:
        """How many recordings there are, whatever becomes of them."""
        seen = self.to_send + self.already_there + self.waiting + self.in_flight + self.duplicates
        left = self.left_out_by.total() + self.decided + self.needs_attention
        return seen + left - self.orphans

    @property
    def decided(self) -> int:
        """How many recordings somebody decided not to send."""
        return sum(n for status, n in self.carried_over.items() if status not in NEEDS_ATTENTION)

    @property
    def found_nothing(self) -> bool:
        """Whether the directory has no recordings at all, as when a share is not mounted."""
        seen = self.to_send + self.already_there + self.waiting + self.in_flight
        seen += self.left_out_by.total()
        return not seen + self.duplicates + self.needs_attention

    @property
    def needs_attention(self) -> int:
        """How many recordings and files need a human."""
        held = sum(group.recordings for group in self.possible)
        left = sum(self.carried_over[status] for status in NEEDS_ATTENTION)
        return left + self.defective + held


def inspection_of(
    batch: Batch, told: Sequence[Foretold], pieces: Collection[str] = ()
) -> Inspection:
    """A folder by its decisions, and by what was told of its recordings, some of them pieces."""
    defective = [each for each in told if each.defects]
    carried_over = [each for each in batch.held if each.status not in _ELSEWHERE]
    outcomes = [each.outcome for each in told if each.outcome is not None]
    outcomes += [each.outcome for each in batch.waits]
    duplicates = [each for each in outcomes if each.status is Status.DUPLICATE]
    left = [each for each in outcomes if each.status is Status.LEFT_OUT]
    waiting = [each for each in outcomes if each.status is Status.WAITING]
    told_apart = {id(each) for each in (*duplicates, *left, *waiting)}
    carried_over += [each for each in outcomes if id(each) not in told_apart]
    return Inspection(
        batch.folder,
        tuple(
            Finding(
                each.path,
                each.size,
                each.audio,
                each.defects,
                each.converts,
                each.named,
                each.path in pieces,
            )
            for each in told
            if each.audio is not None or each.defects
        ),
        (
            *(orphan.defect for orphan in batch.orphans),
            *batch.unreadable,
            *(defect for each in defective for defect in each.defects),
        ),
        len(batch.orphans) + len(batch.unreadable) + len(defective),
        tuple(carried_over),
        tuple(batch.decisions),
        # These are uploaded; whether their sidecars have changed is for the run to find out.
        batch.already_there
        + sum(job.action is Action.COMPARE_METADATA for job in batch.jobs)
        + sum(each.already_there for each in told),
        len(batch.looks),
        tuple(waiting),
        # What is being sent needs no human.
        sum(each.status is Status.CLAIMED for each in batch.held),
        tuple(duplicates),
        sum(each.nbytes for each in told),
        batch.on_record + batch.regrouped,
        batch.listed,
        sum(each.duplicate_of is not None for each in outcomes),
        batch.left_out + Counter(map(filter_of, [*batch.outside, *left])),
        sum(each.sidecar for each in batch.orphans),
        tuple(left),
    )
