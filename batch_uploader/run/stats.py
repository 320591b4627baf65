"""The counts of a run, from its events, for the summary, the displays, the log and systemd."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from batch_uploader.core import events
from batch_uploader.core.events import Event
from batch_uploader.core.identity import Cause
from batch_uploader.core.model import Ending, Outcome, PassedOver, Summary
from batch_uploader.core.states import NEEDS_ATTENTION, UNDECIDED, Status

_ATTENTION_KEPT = 100
"""The most recordings that need a human in a summary; the ledger has all."""
_MOST_GROUPS = 64
_UNREADABLE_KEPT = 20


class AttentionGroup(Struct):
    """Recordings that need a human for the same reason; ``known`` of them since earlier runs.

    ``first`` is the first of them, if some are new the first of these.
    """

    first: Outcome
    count: int = 1
    known: int = 0

    def add(self, outcome: Outcome, *, known: bool) -> None:
        """Count another one."""
        if not known and self.known == self.count:
            self.first = outcome
        self.count += 1
        self.known += known


def reason_of(outcome: Outcome) -> tuple[Status, str]:
    """The key by which recordings with the same fix are grouped."""
    return outcome.status, outcome.kind


class RunStats:
    """Receives every event of a run once, before the listeners.

    ``counts`` are the recordings settled, found or carried over, by status; an outcome is
    subtracted when a search changes it, or when what proved absent is sent again. ``total`` is the
    number to send as far as known, ``done`` those of them that ended, without those
    ``returned_unsent``. Its memory does not grow with the number of files, except for ``doubts``,
    the paths in doubt or in conflict.
    """

    def __init__(self) -> None:
        self.counts: Counter[Status] = Counter(dict.fromkeys(Status, 0))
        self.total = self.total_bytes = 0
        self.done = self.done_bytes = 0
        self.wire_bytes = 0
        """All bytes sent to the service, including failed attempts."""
        self.uploaded_bytes = 0
        self.uploaded_duration = 0.0
        self.already_there = self.waiting = self.outdated = 0
        self.waiting_for: Counter[str] = Counter()
        """What those that wait are waiting for, as far as it is known."""
        self.carried_over = self.returned_unsent = self.retries = 0
        self.to_compare = self.compared = self.changed = 0
        self.converted = 0
        """Duplicates that are the same calls in another format."""
        self.copies = self._aside = 0
        """The recordings that this run found to be another one's copy, as one that was moved is."""
        self.left_out_by: Counter[str] = Counter()
        """What filters left out, by filter; ``counts`` has the sum."""
        self.gone = 0
        """How many of the recordings on record are gone, if these are most of them."""
        self.passed_over: tuple[PassedOver, ...] = ()
        """The files that look like audio and are not taken, by kind."""
        self.searched: Counter[Status] = Counter()
        """The results of searches, including those for doubts of earlier runs."""
        self.unreadable = 0
        """The unreadable files, which are not in the ledger and not in ``status``."""
        self.first_unreadable: list[Outcome] = []
        self.wrote = False
        """Whether the ledger has changed since the run began."""
        self.doubts: set[str] = set()
        self.groups: dict[tuple[Status, str], AttentionGroup] = {}
        """What needs attention, by reason, in order of appearance."""
        self._attention: list[Outcome] = []
        self._known: list[Outcome] = []
        """The same of what earlier runs left; what is new must not be lost among it."""
        self._absent: dict[str, Outcome] = {}
        self._seen = self._seen_bytes = 0
        self._counted = self._counted_bytes = 0
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            events.FolderPlanned: self._planned,
            events.ScanFinished: self._scan_finished,
            events.UploadStarted: self._started,
            events.BytesSent: self._sent,
            events.AttemptEnded: self._attempt_ended,
            events.Settled: self._settled,
            events.ProblemFound: self._problem_found,
            events.Unreadable: self._unreadable,
            events.AlreadyThere: self._found_there,
            events.SetAside: self._set_aside,
            events.Judged: self._judged,
            events.ComparisonStarted: self._comparison_started,
            events.Compared: self._compared,
            events.Waiting: self._left_waiting,
            events.ReturnedUnsent: self._returned,
            events.CarriedOver: self._carried,
            events.Reconciled: self._reconciled,
            events.MostGone: self._most_gone,
            events.FilesPassedOver: self._passed_over,
        }

    def hear(self, event: Event) -> None:
        """Take one event into account."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    @property
    def uploaded(self) -> int:
        """How many recordings this run uploaded."""
        return self.counts[Status.UPLOADED]

    @property
    def needs_attention(self) -> int:
        """How many recordings need a human."""
        return sum(self.counts[status] for status in NEEDS_ATTENTION)

    @property
    def known(self) -> frozenset[str]:
        """Those paths in a summary that an earlier run left for a human."""
        return frozenset(outcome.path for outcome in self._known)

    def summary(
        self, ending: Ending, reason: str | None, elapsed: float, hints: tuple[str, ...] = ()
    ) -> Summary:
        """The summary, at the end of the run."""
        return Summary(
            ending=ending,
            counts=dict(+self.counts),
            already_there=self.already_there,
            waiting=self.waiting,
            outdated=self.outdated,
            uploaded_bytes=self.uploaded_bytes,
            uploaded_duration=self.uploaded_duration,
            elapsed=elapsed,
            attention=(*self._attention, *self._known)[:_ATTENTION_KEPT],
            reason=reason,
            hints=hints,
            to_compare=self.to_compare,
            compared=self.compared,
            changed=self.changed,
            converted=self.converted,
            gone=self.gone,
            left_out_by=dict(self.left_out_by),
            passed_over=self.passed_over,
            waiting_for=dict(self.waiting_for),
        )

    # Totals

    def _planned(self, event: events.FolderPlanned) -> None:
        self._seen += event.to_send
        self._seen_bytes += event.to_send_bytes
        self._add_up()
        self.already_there += event.already_there
        self.waiting += event.waiting
        self.waiting_for.update(event.waiting_for)
        self.left_out_by.update(event.left_out_by)
        self.counts[Status.LEFT_OUT] += sum(event.left_out_by.values())
        self.wrote |= event.forgotten + event.recorded > 0

    def _scan_finished(self, event: events.ScanFinished) -> None:
        self._counted, self._counted_bytes = event.to_send, event.to_send_bytes
        self._add_up()

    def _comparison_started(self, event: events.ComparisonStarted) -> None:
        self.to_compare = event.to_compare
        self._seen += event.to_compare
        self._seen_bytes += event.to_compare_bytes
        self._counted += event.to_compare
        self._counted_bytes += event.to_compare_bytes
        self._add_up()

    def _add_up(self) -> None:
        # A count that ran ahead may lack files that came later.
        self.total = max(self._seen, self._counted)
        self.total_bytes = max(self._seen_bytes, self._counted_bytes)

    # Progress

    def _started(self, event: events.UploadStarted) -> None:
        self._take_up(event.path)

    def _sent(self, event: events.BytesSent) -> None:
        self.wire_bytes += event.nbytes

    def _attempt_ended(self, event: events.AttemptEnded) -> None:
        self.retries += event.retry_in is not None

    def _found_there(self, event: events.AlreadyThere) -> None:
        self.already_there += 1
        self.outdated += event.outdated
        self._finish(event.size)

    def _set_aside(self, event: events.SetAside) -> None:
        self.wrote = True
        self._aside += 1
        self._finish(event.size)

    def _left_waiting(self, event: events.Waiting) -> None:
        self.wrote = True
        self.waiting += 1
        if event.code is not None:
            self.waiting_for[event.code] += 1
        self._finish(event.size)

    def _returned(self, _event: events.ReturnedUnsent) -> None:
        self.returned_unsent += 1

    def _compared(self, event: events.Compared) -> None:
        self.compared += event.found is not events.Comparison.UNREAD
        self.outdated += event.found is events.Comparison.OUTDATED
        if event.found is events.Comparison.CHANGED:
            # It is sent next, and counts as done at the end of that.
            self.changed += 1
            self.already_there -= 1
        else:
            self._finish(event.size)

    def _finish(self, size: int) -> None:
        self.done += 1
        self.done_bytes += size

    # Outcomes

    def _settled(self, event: events.Settled) -> None:
        self._end(event.outcome)
        self._finish(event.outcome.stat.size)
        self.copies += event.outcome.duplicate_of is not None

    def _problem_found(self, event: events.ProblemFound) -> None:
        self._end(event.outcome)

    def _judged(self, event: events.Judged) -> None:
        self._end(event.outcome)
        if self._aside and event.outcome.duplicate_of is not None:
            # Not one that an earlier run held, which is judged again each time.
            self._aside -= 1
            self.copies += 1

    def _unreadable(self, event: events.Unreadable) -> None:
        self.unreadable += 1
        if len(self.first_unreadable) < _UNREADABLE_KEPT:
            self.first_unreadable.append(event.outcome)
        self._end(event.outcome)

    def _carried(self, event: events.CarriedOver) -> None:
        self.carried_over += 1
        self._add(event.outcome, known=True)

    def _most_gone(self, event: events.MostGone) -> None:
        self.gone = event.gone

    def _passed_over(self, event: events.FilesPassedOver) -> None:
        self.passed_over = event.kinds

    def _reconciled(self, event: events.Reconciled) -> None:
        self.wrote = True
        outcome = event.outcome
        self.searched[outcome.status] += 1
        if event.before is not None:
            self._retract(event.before)
        absent = outcome.status is Status.FAILED
        if absent:
            self._absent[outcome.path] = outcome
        # What an earlier run sent, and a search found, is already there.
        if absent or event.before is not None:
            self._add(outcome)

    def _take_up(self, path: str) -> None:
        """What proved absent starts again."""
        if (outcome := self._absent.pop(path, None)) is not None:
            self._retract(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.wrote = True
        self._take_up(outcome.path)
        self._add(outcome)

    def _add(self, outcome: Outcome, *, known: bool = False) -> None:
        status = outcome.status
        self.counts[status] += 1
        self.converted += status is Status.DUPLICATE and outcome.cause is Cause.CONVERTED
        if status is Status.UPLOADED:
            self.uploaded_bytes += outcome.stat.size
            self.uploaded_duration += outcome.duration or 0.0
            return
        if status is Status.LEFT_OUT and outcome.failure is not None:
            self.left_out_by[outcome.failure.code] += 1
        if status in UNDECIDED:
            self.doubts.add(outcome.path)
        if status not in NEEDS_ATTENTION:
            return
        kept = self._known if known else self._attention
        if len(kept) < _ATTENTION_KEPT:
            kept.append(outcome)
        reason = reason_of(outcome)
        if (group := self.groups.get(reason)) is not None:
            group.add(outcome, known=known)
        elif len(self.groups) < _MOST_GROUPS:  # the counts and the ledger include the others
            self.groups[reason] = AttentionGroup(outcome, known=int(known))

    def _retract(self, outcome: Outcome) -> None:
        self.counts[outcome.status] -= 1
        self.doubts.discard(outcome.path)
        self._attention = [each for each in self._attention if each.path != outcome.path]
        self._known = [each for each in self._known if each.path != outcome.path]
        if (group := self.groups.get(reason_of(outcome))) is not None:
            group.count -= 1
            group.known = min(group.known, group.count)
            if not group.count:
                del self.groups[reason_of(outcome)]
