"""What planning makes of a folder: recordings to inspect, and what became of the others."""

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from batch_uploader.core.model import Defect, Failure, Outcome, Version
from batch_uploader.core.naming import stem
from batch_uploader.core.records import Record
from batch_uploader.core.states import Action, Decision, Status
from batch_uploader.plan.patience import Due, Postponed
from batch_uploader.prepare.bundle import Bundle
from batch_uploader.prepare.pairing import Orphan

_MOST_COPIES = 4
"""More files of one size and time are not copies: the program that wrote them made them alike."""


class Job(Struct, frozen=True):
    """A recording to inspect, and the record of its path.

    ``then`` may be the same call, and comes after this one. ``due`` is what it
    still waits for, depending on what is found in it.
    """

    bundle: Bundle
    action: Action
    known: Record | None
    then: "Job | None" = None
    due: Due = Due()

    @property
    def path(self) -> str:
        """The recording's path."""
        return self.bundle.path

    @property
    def size(self) -> int:
        """The audio's size in bytes."""
        return self.bundle.audio.size


class Batch(Struct):
    """The decisions for one folder.

    ``held`` are what earlier runs left for a human. ``legs`` are sides of calls that lie beside
    their mix, and that the ledger does not have yet. ``orphans`` are defects that are known without
    inspecting the audio and that the ledger does not have yet; ``unreadable`` those too vague for a
    ledger. ``outside`` are recordings outside the sample that the ledger does not have as such yet,
    ``left_out`` counts those that a filter left out before. ``gone`` are paths that no longer exist
    and of which nothing is stored, ``dropped`` those that were to be planned again and are not to
    be sent as they are now. ``looks``, which are
    among ``already_there``, are compared when all else is done; ``by_inode`` are those whose only
    reason is an inode. ``kept`` counts the recordings with unchanged inodes, ``moved`` those with
    other inodes and nothing else new. ``learned`` had no recorded values that would show that they
    were touched. ``waits`` are left to the next run, and of these ``gone_waiting`` no longer exist.
    ``on_record`` counts the files that have a record of more than waiting, which only means
    something if the folder was ``listed``. Of ``gone``, so many are ``regrouped``: their files are
    there, as pieces or legs now, or as a whole.
    """

    folder: str
    jobs: list[Job] = field(default_factory=list)
    looks: list[Job] = field(default_factory=list)
    by_inode: list[Job] = field(default_factory=list)
    learned: list[tuple[str, Version]] = field(default_factory=list)
    decisions: list[tuple[str, Decision]] = field(default_factory=list)
    held: list[Outcome] = field(default_factory=list)
    legs: list[Outcome] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    unreadable: list[Defect] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    outside: list[Outcome] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    waits: list[Postponed] = field(default_factory=list)
    gone_waiting: list[str] = field(default_factory=list)
    already_there: int = 0
    kept: int = 0
    moved: int = 0
    on_record: int = 0
    regrouped: int = 0
    listed: bool = True

    @property
    def waiting(self) -> int:
        """How many wait, without those that have been waiting too long."""
        return sum(self.waiting_for.values())

    @property
    def waiting_for(self) -> Counter[str]:
        """How many of these wait for what."""
        waits = [each.outcome for each in self.waits]
        return Counter(
            each.failure.code
            for each in waits
            if each.status is Status.WAITING and each.failure is not None
        )


def in_turn(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs of a folder, with those that look like copies of one file behind the first of them.

    So the first is sent, however fast each of them is read. What is on record comes before what is
    compared with that, since its sidecar may have been corrected.
    """
    jobs = sorted(jobs, key=lambda job: job.action is Action.UPLOAD)
    names = Counter(stem(job.path) for job in jobs)
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        name = stem(job.path)
        key = name if names[name] > 1 else (job.size, job.bundle.audio.mtime_ns)
        groups.setdefault(key, []).append(job)
    for group in groups.values():
        if len(group) > _MOST_COPIES:
            yield from group
            continue
        *before, first = reversed(group)
        then: Job | None = None
        for job in before:
            then = replace(job, then=then)
        yield first if then is None else replace(first, then=then)


def invalid(path: str, stat: Version, defects: Sequence[Defect]) -> Outcome:
    """The outcome of an invalid recording: all defects in one sentence."""
    text = ". ".join(str(defect) for defect in defects)
    return Outcome(path, Status.INVALID, stat, failure=Failure(defects[0].kind, text))


def orphaned(orphan: Orphan) -> Outcome:
    """The outcome of a file without a counterpart, or with several."""
    entry = orphan.entry
    return invalid(entry.path, Version(entry.size, entry.mtime_ns), [orphan.defect])
