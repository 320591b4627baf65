"""Applies the filters to recordings that are prepared, without changing what is known of them."""

from msgspec import Struct
from msgspec.structs import replace

from batch_uploader.core.model import Outcome, Recording
from batch_uploader.core.states import COMPARED, POSSIBLE, UNRESOLVED
from batch_uploader.plan.batch import Job
from batch_uploader.plan.decide import left_out, may_be_left_out
from batch_uploader.prepare.bundle import version_of
from batch_uploader.prepare.filters import Digests, Filters, LeftOut
from batch_uploader.prepare.prepare import Preparer


class Filtering(Struct, frozen=True):
    """Says which recordings the filters apply to: a talk is compared before it is left out."""

    preparer: Preparer
    unfiltered: Preparer
    digests: Digests

    @classmethod
    def of(cls, preparer: Preparer) -> "Filtering":
        """With the rules and the filters of a preparer."""
        rules = preparer.rules
        return cls(
            preparer,
            replace(preparer, rules=replace(rules, filters=Filters())),
            rules.digests,
        )

    def preparer_for(self, job: Job) -> Preparer:
        """Without the filters, if what is on record must be compared first."""
        leaves_out = may_be_left_out(job.known, version_of(job.bundle))
        return self.preparer if leaves_out else self.unfiltered

    def after_all(self, job: Job, recording: Recording) -> LeftOut | None:
        """Whether a filter leaves out what was prepared without it.

        That is other audio at the path of a talk, or what was held and may be free. It is sent if a
        human said so.
        """
        known = job.known
        if known is None or may_be_left_out(known, recording.stat) or known.unproved:
            return None
        if known.status not in (COMPARED | POSSIBLE) - UNRESOLVED or _is_same(job, recording):
            return None
        return self.preparer.left_out(job.bundle, recording.metadata, recording.audio)


def _is_same(job: Job, recording: Recording) -> bool:
    """Whether it is the audio of the talk on record."""
    known = job.known
    if known is None or known.status in POSSIBLE:
        return False
    heard = recording.identity.essence
    return known.sha256 == recording.fingerprint.sha256 or (
        heard is not None and known.essence == heard
    )


def outcome_of(job: Job, left: LeftOut) -> Outcome:
    """The outcome of a recording that a filter leaves out."""
    return left_out(job.path, version_of(job.bundle), left)
