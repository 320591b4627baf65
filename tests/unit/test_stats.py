"""One book counts a run, and everything that tells of it says the same."""

import io
import json

import pytest
from support.doubt_harness import LOST, Harness, recordings

from batch_uploader.core import events
from batch_uploader.core.errors import Rejected
from batch_uploader.core.model import Ending, Outcome, Version
from batch_uploader.core.states import Status
from batch_uploader.run.stats import RunStats
from batch_uploader.ui.attemptlog import AttemptLog
from batch_uploader.ui.heartbeat import Heartbeat
from batch_uploader.ui.plain import progress_line
from batch_uploader.ui.progress import Progress, make_renderer
from batch_uploader.ui.stream import ScreenSize, plain_text
from batch_uploader.ui.summary import summary_lines

SIZE = ScreenSize(100, 40)


class Surfaces:
    """All that tells of a run at once, over its one book."""

    def __init__(self, harness, folder, stops_at=None):
        self.harness = harness
        self.stops_at = stops_at
        self.log = folder / "attempts.log"
        self.stdout = io.StringIO()
        self.told = []

    async def run(self, **how):
        async with self.harness.uploader(**how) as uploader:
            stats = self.stats = uploader.stats
            renderer = make_renderer(Progress.JSON, stdout=self.stdout, stats=stats)
            heartbeat = Heartbeat(lambda **state: self.told.append(state), None, stats=stats)
            with AttemptLog(self.log) as log, renderer:
                self.harness.listeners += [renderer, log, heartbeat]
                self.harness.listeners.append(lambda event: self.stop(event, uploader))
                self.summary = await uploader.run()
        self.line = progress_line(renderer.tally)
        self.text = plain_text(summary_lines(self.summary, SIZE, None, "/calls", stats=stats))
        self.events = [json.loads(line) for line in self.stdout.getvalue().splitlines()]
        self.logged = [json.loads(line) for line in self.log.read_text("ascii").splitlines()]

    def stop(self, event, uploader):
        if type(event) is self.stops_at:
            uploader.drain("stopped by the test")

    @property
    def systemd(self):
        return [state["STATUS"] for state in self.told if "STATUS" in state][-1]


async def test_all_tell_the_same_of_a_run_that_settled_a_doubt(tmp_path):
    """The talk was found in the same run: no surface sends anybody to look for it."""
    harness = Harness(recordings(5))
    harness.sink.lose_next(LOST)
    harness.sink.fail_next(Rejected("the file is refused", code="INVALID_ARGUMENT"))
    said = Surfaces(harness, tmp_path)
    await said.run()
    assert len(harness.told(events.Reconciled)) == 1

    counts = {each.value: 0 for each in Status if each is not Status.CLAIMED}
    counts |= {"uploaded": 4, "rejected": 1}
    for finished in (said.events[-1], said.logged[-1]):
        assert finished["event"] == "run_finished"
        assert (finished["counts"], finished["needs_attention"]) == (counts, 1)
    assert said.summary.counts == {Status.UPLOADED: 4, Status.REJECTED: 1}
    assert said.systemd == "finished; 5 of 5 recordings, 4 uploaded, 1 needs attention"
    assert said.text.startswith("Uploaded 4 recordings in ")
    assert "rejected 1" in said.text
    assert "in doubt" not in said.text
    assert "1 recording needs attention" in said.text
    assert "uploaded 4" in said.line
    assert "rejected 1" in said.line
    (settled,) = [line for line in said.logged if line["event"] == "reconciled"]
    assert (settled["status"], settled["talk_id"]) == ("uploaded", "talk-1")


async def test_all_tell_the_same_of_a_doubt_that_stays(tmp_path):
    harness = Harness(recordings(3))
    harness.sink.swallows = 1
    said = Surfaces(harness, tmp_path)
    await said.run()
    assert said.systemd == "finished; 3 of 3 recordings, 2 uploaded, 1 needs attention"
    assert said.events[-1]["counts"]["in_doubt"] == said.logged[-1]["counts"]["in_doubt"] == 1
    assert "in doubt 1" in said.text
    assert "in doubt 1" in said.line


async def test_what_is_given_back_is_not_told_as_done(tmp_path):
    """A run that is stopped at its first recording has not dealt with the others."""
    harness = Harness(recordings(50), concurrency=4)
    said = Surfaces(harness, tmp_path, stops_at=events.UploadStarted)
    await said.run()
    assert said.summary.ending is Ending.INTERRUPTED
    assert len(harness.told(events.ReturnedUnsent)) == said.stats.returned_unsent > 0
    uploaded = said.summary.counts[Status.UPLOADED]
    assert said.stats.done == uploaded == len(harness.sink.talks)
    of_all = f"finished; {uploaded} of {said.stats.total} recordings, {uploaded} uploaded"
    assert said.systemd == of_all
    assert said.events[-1]["counts"] == said.logged[-1]["counts"]
    assert f"uploaded {uploaded}" in said.line


@pytest.mark.parametrize("batch", [1, 7])
def test_each_event_counts_once_however_many_come_together(batch):
    stats = RunStats()
    happened = [
        events.FolderPlanned("", 3, 300, 2, 1, forgotten=1),
        events.UploadStarted("a", 100),
        events.BytesSent("a", 100),
        events.Settled(Outcome("a", Status.UPLOADED, Version(100, 0), duration=2.0)),
        events.AlreadyThere("b", 100, outdated=True),
        events.Waiting("c", 100),
        events.ComparisonStarted(2, 20),
        events.Compared("d", 10, events.Comparison.SAME),
        events.Compared("e", 10, events.Comparison.CHANGED),
        events.Settled(Outcome("e", Status.UPLOADED, Version(10, 0), duration=1.0)),
    ]
    for start in range(0, len(happened), batch):
        for event in happened[start : start + batch]:
            stats.hear(event)
    assert (stats.done, stats.total, stats.done_bytes, stats.total_bytes) == (5, 5, 320, 320)
    assert (stats.already_there, stats.waiting, stats.outdated) == (2, 2, 1)
    assert (stats.to_compare, stats.compared, stats.changed) == (2, 2, 1)
    assert (stats.uploaded, stats.uploaded_bytes, stats.uploaded_duration) == (2, 110, 3.0)
    assert (stats.wire_bytes, stats.needs_attention, stats.wrote) == (100, 0, True)
