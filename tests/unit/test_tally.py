"""The aggregate behind the three displays: what adds up, what is taken back, what is unknowable."""

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_uploader.core import events
from batch_uploader.core.model import Ending, Failure, Outcome, PassedOver, Summary, Version
from batch_uploader.core.states import Status
from batch_uploader.ui.tally import Stage, Tally


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tally(clock):
    return Tally(clock)


def outcome(path, status=Status.UPLOADED, size=100, code=None, duration=None):
    failure = Failure(code, "mend it") if code else None
    return Outcome(path, status, Version(size, 0), failure=failure, duration=duration)


def planned(to_send=0, size=0, already_there=0, waiting=0):
    return events.FolderPlanned("", to_send, size, already_there, waiting)


def attempt(path, number=1, code="OK", nbytes=0, retry_in=None):
    return events.AttemptEnded(path, number, "c", None, code, "", nbytes, 1.0, retry_in)


SUMMARY = Summary(Ending.COMPLETED, {}, 0, 0, 0, 0, 0.0, 1.0, ())
SAMPLES = {
    events.RunStarted: events.RunStarted("r", "/calls"),
    events.FolderPlanned: planned(1, 100),
    events.Decided: events.Decided("a", "upload", "new"),
    events.ScanFinished: events.ScanFinished(0, 0),
    events.UploadStarted: events.UploadStarted("a", 100),
    events.BytesSent: events.BytesSent("a", 10),
    events.AttemptEnded: attempt("a"),
    events.Settled: events.Settled(outcome("a")),
    events.ProblemFound: events.ProblemFound(outcome("b", Status.INVALID, code="orphan")),
    events.Unreadable: events.Unreadable(outcome("b", Status.INVALID, code="unreadable")),
    events.AlreadyThere: events.AlreadyThere("a", 100, outdated=False),
    events.SetAside: events.SetAside("a", 100),
    events.Judged: events.Judged(outcome("b", Status.POSSIBLE_DUPLICATE, code="MOVED")),
    events.DefaultIdsOff: events.DefaultIdsOff(("v",), ("a", "b"), 1, 1),
    events.LearningStarted: events.LearningStarted(),
    events.ComparisonStarted: events.ComparisonStarted(1, 100),
    events.Compared: events.Compared("a", 100, events.Comparison.SAME),
    events.Waiting: events.Waiting("a", 100),
    events.ReturnedUnsent: events.ReturnedUnsent("a", 100),
    events.CarriedOver: events.CarriedOver(outcome("b", Status.IN_DOUBT, code="X")),
    events.Reconciled: events.Reconciled(outcome("b"), outcome("b", Status.IN_DOUBT, code="X")),
    events.DoubtsWaiting: events.DoubtsWaiting(1.0, 1),
    events.Paused: events.Paused(1.0, "busy"),
    events.RenewalFailed: events.RenewalFailed(None, "the command failed"),
    events.Draining: events.Draining("interrupted"),
    events.MostGone: events.MostGone(3, 5),
    events.FilesPassedOver: events.FilesPassedOver(
        (PassedOver(".gsm", 2, 1, "GSM 06.10", "a.gsm", None, "-f gsm", new=True),)
    ),
    events.RunFinished: events.RunFinished(SUMMARY),
}


@pytest.mark.parametrize("kind", typing.get_args(events.Event), ids=lambda kind: kind.__name__)
def test_every_event_is_heard_also_out_of_the_blue(tally, kind):
    tally.hear(SAMPLES[kind])
    assert tally.done_bytes >= 0


def test_bytes_in_flight_count_and_a_failed_attempt_takes_its_own_back(tally):
    tally.hear(planned(2, 300))
    tally.hear(events.UploadStarted("a", 100))
    tally.hear(events.UploadStarted("b", 200))
    tally.hear(events.BytesSent("a", 60))
    tally.hear(events.BytesSent("b", 50))
    assert (tally.done_bytes, tally.stats.wire_bytes) == (110, 110)

    tally.hear(attempt("a", code="UNAVAILABLE", nbytes=60, retry_in=3.0))
    assert (tally.done_bytes, tally.stats.wire_bytes) == (50, 110)
    assert tally.in_flight["a"].attempt == 2
    assert tally.in_flight["a"].code == "UNAVAILABLE"
    assert tally.retry_in(tally.in_flight["a"]) == 3.0

    tally.hear(events.BytesSent("a", 100))
    assert tally.retry_in(tally.in_flight["a"]) is None
    tally.hear(attempt("a", 2, nbytes=100))
    tally.hear(events.Settled(outcome("a", duration=7.5)))
    assert (tally.done_bytes, tally.stats.done_bytes, tally.stats.done) == (150, 100, 1)
    assert (tally.stats.uploaded_bytes, tally.stats.uploaded_duration, tally.stats.retries) == (
        100,
        7.5,
        1,
    )
    assert list(tally.in_flight) == ["b"]


def test_what_grows_as_it_is_converted_counts_by_its_file(tally):
    tally.hear(planned(2, 200))
    tally.hear(events.UploadStarted("a", 100))
    for _ in range(20):
        tally.hear(events.BytesSent("a", 50))
    assert tally.done_bytes == 100
    tally.hear(attempt("a", code="UNAVAILABLE", retry_in=3.0))
    assert tally.done_bytes == 0


def test_the_next_attempt_counts_down_by_the_clock(tally, clock):
    tally.hear(events.UploadStarted("a", 100))
    tally.hear(attempt("a", code="UNAVAILABLE", retry_in=3.0))
    clock.now += 2
    assert tally.retry_in(tally.in_flight["a"]) == 1.0
    clock.now += 2
    assert tally.retry_in(tally.in_flight["a"]) == 0.0


def test_what_was_given_back_is_not_done(tally):
    tally.hear(planned(1, 100))
    tally.hear(events.UploadStarted("a", 100))
    tally.hear(events.BytesSent("a", 30))
    tally.hear(events.ReturnedUnsent("a", 100))
    assert (tally.done_bytes, tally.stats.done, tally.stats.returned_unsent) == (0, 0, 1)
    assert not tally.in_flight


def test_counts_are_those_of_the_summary(tally):
    tally.hear(planned(3, 300, already_there=5, waiting=2))
    tally.hear(events.AlreadyThere("a", 100, outdated=True))
    tally.hear(events.Waiting("b", 100))
    tally.hear(events.Settled(outcome("c", Status.FAILED, code="UNAVAILABLE")))
    tally.hear(events.ProblemFound(outcome("d", Status.INVALID, code="orphan")))
    tally.hear(events.CarriedOver(outcome("e", Status.IN_DOUBT, code="DEADLINE_EXCEEDED")))
    assert (tally.stats.already_there, tally.stats.waiting, tally.stats.outdated) == (6, 3, 1)
    assert (tally.stats.carried_over, tally.stats.needs_attention) == (1, 3)
    assert +tally.stats.counts == {Status.FAILED: 1, Status.INVALID: 1, Status.IN_DOUBT: 1}
    assert (tally.stats.done, tally.stats.done_bytes) == (3, 300)


def test_the_rate_slides_and_the_average_does_not(tally, clock):
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.UploadStarted("a", 10**9))
    for _ in range(30):
        clock.now += 1
        tally.hear(events.BytesSent("a", 1000))
    assert tally.rate == pytest.approx(1000, rel=0.08)
    clock.now += 60
    assert tally.rate == 0
    assert tally.average_rate == pytest.approx(30_000 / 90)


def test_a_first_burst_is_no_rate_of_millions(tally):
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(events.BytesSent("a", 1000))
    assert tally.rate == 1000


def test_the_time_left_is_known_only_when_it_can_be(tally, clock):
    tally.hear(events.RunStarted("r", "/calls"))
    tally.hear(planned(1, 10_000))
    tally.hear(events.UploadStarted("a", 10_000))
    for _ in range(10):
        clock.now += 1
        tally.hear(events.BytesSent("a", 100))
    assert tally.eta is None, "the total still grows"
    tally.hear(events.ScanFinished(0, 0))
    assert tally.eta == pytest.approx(90, rel=0.1)
    tally.hear(events.Paused(5, "busy"))
    assert tally.eta is None, "nobody sends"
    clock.now += 5
    assert tally.eta is not None
    clock.now += 120
    assert tally.eta is None, "nothing moves"
    tally.hear(events.BytesSent("a", 100))
    tally.hear(events.Draining("interrupted"))
    assert tally.eta is None, "the rest stays behind"


def test_a_count_that_ran_ahead_gives_the_totals_and_is_never_undercut(tally):
    tally.hear(planned(10, 1000))
    assert (tally.stage, tally.stats.total) == (Stage.COUNTING, 10)
    tally.hear(events.ScanFinished(500, 50_000))
    assert (tally.stage, tally.stats.total, tally.stats.total_bytes) == (Stage.SENDING, 500, 50_000)
    tally.hear(planned(400, 40_000))
    assert tally.stats.total == 500, "these were counted ahead"
    tally.hear(planned(100, 10_000))
    assert (tally.stats.total, tally.stats.total_bytes) == (510, 51_000), "ten came since"


def test_bytes_that_are_sent_again_do_not_shorten_the_time_left(tally, clock):
    tally.hear(planned(1, 1000))
    tally.hear(events.ScanFinished(0, 0))
    tally.hear(events.UploadStarted("a", 1000))
    tally.hear(events.BytesSent("a", 900))
    clock.now += 2
    tally.hear(attempt("a", code="UNAVAILABLE", nbytes=900, retry_in=1.0))
    assert tally.eta is None
    assert tally.rate > 0


def test_a_pause_ends_by_the_clock_and_the_longest_one_counts(tally, clock):
    tally.hear(events.Paused(10, "first"))
    tally.hear(events.Paused(2, "second"))
    assert tally.pause == (10, "first", 0)
    clock.now += 10
    assert tally.pause is None


def test_stages_go_forward_only_and_the_first_reason_stays(tally):
    assert tally.stage is Stage.COUNTING
    tally.hear(events.Draining("interrupted"))
    tally.hear(events.ScanFinished(0, 0))
    tally.hear(events.Draining("stopped at once"))
    assert (tally.stage, tally.stop_reason) == (Stage.DRAINING, "interrupted")
    tally.hear(events.RunFinished(SUMMARY))
    assert (tally.stage, tally.summary) == (Stage.FINISHED, SUMMARY)


def test_time_stands_still_after_the_end(tally, clock):
    tally.hear(events.RunStarted("r", "/calls"))
    clock.now += 4
    tally.hear(events.RunFinished(SUMMARY))
    clock.now += 100
    assert tally.elapsed == 4


def test_memory_is_that_of_what_is_in_flight(tally, clock):
    """Fault 41: nothing is kept per file, also not per code that somebody makes up."""
    for number in range(20_000):
        path = f"{number}.wav"
        tally.hear(events.UploadStarted(path, 10))
        tally.hear(events.BytesSent(path, 10))
        tally.hear(events.Settled(outcome(path, Status.FAILED, 10, code=f"CODE{number}")))
        clock.now += 0.01
    assert not tally.in_flight
    assert len(tally.stats.groups) == 64
    assert tally.stats.needs_attention == 20_000


def test_a_doubt_that_was_found_out_is_in_doubt_no_more(tally):
    first, second, third = (outcome(name, Status.IN_DOUBT, code="INTERNAL") for name in "abc")
    for each in (first, second, third):
        tally.hear(events.Settled(each))
    tally.hear(events.Reconciled(outcome("a", duration=2.0), first))
    conflict = outcome("b", Status.CONFLICT, code="CONFLICT")
    tally.hear(events.Reconciled(conflict, second))
    held = outcome("c", Status.IN_DOUBT, code="HELD")
    tally.hear(events.Reconciled(held, third))
    assert +tally.stats.counts == {Status.UPLOADED: 1, Status.CONFLICT: 1, Status.IN_DOUBT: 1}
    assert (
        tally.stats.uploaded_bytes,
        tally.stats.uploaded_duration,
        tally.stats.needs_attention,
    ) == (100, 2.0, 2)
    assert [group.first for group in tally.stats.groups.values()] == [conflict, held]
    # To be sent again: it counts as failed until that begins.
    tally.hear(events.Reconciled(outcome("c", Status.FAILED, code="ABSENT"), held))
    assert (tally.stats.needs_attention, tally.stats.counts[Status.FAILED]) == (2, 1)
    tally.hear(events.UploadStarted("c", 100))
    assert (tally.stats.needs_attention, tally.stats.done) == (1, 3)


def test_what_an_earlier_run_left_and_was_found_counts_as_already_there(tally):
    tally.hear(events.Reconciled(outcome("a"), None))
    assert not +tally.stats.counts
    assert tally.stats.uploaded_bytes == 0


def test_groups_count_what_is_alike(tally):
    for path in "abc":
        tally.hear(events.ProblemFound(outcome(path, Status.INVALID, code="orphan")))
    tally.hear(events.ProblemFound(outcome("d", Status.INVALID, code="empty")))
    groups = [(group.first.path, group.count) for group in tally.stats.groups.values()]
    assert groups == [("a", 3), ("d", 1)]


steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["send", "fail", "up", "refused", "released"])),
    max_size=60,
)


@given(steps)
def test_whatever_happens_the_parts_add_up(steps):
    tally = Tally(Clock())
    size = 100
    sent = {}
    done = set()
    tally.hear(planned(4, 4 * size))
    for number, what in steps:
        path = str(number)
        if path in done:
            continue
        if path not in sent:
            tally.hear(events.UploadStarted(path, size))
            sent[path] = 0
        if what == "send":
            nbytes = min(30, size - sent[path])
            sent[path] += nbytes
            tally.hear(events.BytesSent(path, nbytes))
        elif what == "fail":
            tally.hear(attempt(path, code="UNAVAILABLE", nbytes=sent[path], retry_in=0.0))
            sent[path] = 0
        else:
            end = {
                "up": events.Settled(outcome(path)),
                "refused": events.Settled(outcome(path, Status.REJECTED, code="NOT_FOUND")),
                "released": events.ReturnedUnsent(path, size),
            }[what]
            tally.hear(end)
            done.add(path)
            sent[path] = 0 if what == "released" else size
        assert tally.done_bytes == sum(sent.values())
        assert set(tally.in_flight) == set(sent) - done
