"""What monitoring is told: each metric is counted, documented, and named as Prometheus wants it."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.engine_harness import Harness, recordings

from batch_uploader.cli.reporting import Report
from batch_uploader.core import events
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Ending, Failure, Outcome, Summary, Version
from batch_uploader.core.runs import RunEnd
from batch_uploader.core.states import Status
from batch_uploader.host.files import temporary_name
from batch_uploader.settings import Settings
from batch_uploader.ui.metrics import OF_JOB, OF_RUN, EarlierRuns, JobLabels, RunMetrics
from batch_uploader.ui.textfile import MetricsFile, as_text

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
JOB = JobLabels("calls", "/srv/calls")
NEVER = EarlierRuns(succeeded_at=0)
REFUSED = Outcome("a", Status.REJECTED, Version(10, 0), 1, failure=Failure("X", "mend it"))


def reporting(directory, path):
    """A report with this metrics file, configured as a command does it."""
    report = Report(directory, {})
    report.configure(Settings(directory, {"metrics-file": path}, {}, path.parent))
    return report


def values(metrics):
    """The metrics by the name without its prefix, and by their own label."""
    return {
        (each.metric.name.removeprefix("batch_uploader."), label): value
        for each in metrics.measured()
        for label, value in each.values.items()
    }


def test_the_page_has_all_of_them():
    rows = re.findall(
        r"^\| `(batch_uploader_\w+)`(?: by `(\w+)`)? \| (.*) \|$", OPERATIONS, re.MULTILINE
    )
    assert rows == [(each.in_prometheus, each.label, each.about) for each in (*OF_JOB, *OF_RUN)]


def test_names_are_as_prometheus_wants_them():
    """Base units at the end; only a counter ends with _total, and none of these is one."""
    names = [each.in_prometheus for each in (*OF_JOB, *OF_RUN)]
    assert len({*names}) == len(names)
    for name in names:
        assert re.fullmatch(r"batch_uploader(_[a-z]+)+", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info_info"))


def test_attempts_are_counted_by_code_and_what_is_in_flight_comes_down():
    metrics = RunMetrics()
    metrics(events.RunStarted("r", "/calls"))
    for path in "abc":
        metrics(events.UploadStarted(path, 10))
    metrics(events.BytesSent("a", 10))
    metrics(events.AttemptEnded("a", 1, "c", None, "UNAVAILABLE", "", 10, 1.5, 2.0))
    metrics(events.AttemptEnded("a", 2, "c", None, "INVALID_ARGUMENT", "", 10, 0.5, None))
    metrics(events.Paused(5.0, "busy"))
    metrics(events.Settled(REFUSED))
    metrics(events.ReturnedUnsent("b", 10))
    found = values(metrics)
    assert found["requests", "UNAVAILABLE"] == found["requests", "INVALID_ARGUMENT"] == 1
    assert found["requests.duration", ""] == 2
    assert (found["in_flight", ""], found["concurrency", ""], found["retries", ""]) == (1, 3, 1)
    assert (found["pauses", ""], found["pauses.duration", ""]) == (1, 5)
    assert (found["recordings", "rejected"], found["sent", ""]) == (1, 10)


def test_each_status_has_a_value_also_if_it_is_0():
    """A series that comes and goes has no rate and no history."""
    metrics = RunMetrics()
    metrics(events.RunStarted("r", "/calls"))
    found = values(metrics)
    told = {label for name, label in found if name == "recordings"}
    assert told == {*Status} - {Status.CLAIMED}


@pytest.mark.parametrize(
    ("ending", "before", "counted", "then"),
    [
        (Ending.COMPLETED, 5, 3, 3),
        (Ending.COMPLETED, None, 0, 0),
        (Ending.LIMIT, 5, 3, 5),
        (Ending.INTERRUPTED, 5, 7, 7),
        (None, 5, 0, 5),
        (None, None, 0, None),
    ],
)
def test_a_run_that_does_not_see_all_does_not_end_an_alarm(ending, before, counted, then):
    metrics = RunMetrics()
    metrics.earlier = EarlierRuns(attention=before)
    assert values(metrics).get(("attention", "")) == before
    if ending is not None:
        counts = {Status.INVALID: counted}
        metrics(events.RunFinished(Summary(ending, counts, 0, 0, 0, 0, 0.0, 1.0, ())))
    metrics.end(0)
    assert values(metrics).get(("attention", "")) == then


def test_the_end_of_the_last_run_stands_until_this_one_ends():
    moments = iter(range(1000, 1100))
    metrics = RunMetrics(clock=lambda: next(moments))
    metrics.earlier = EarlierRuns(ended_at=500, succeeded_at=400, exit_code=3)
    found = values(metrics)
    assert (found["running", ""], found["run.exit_code", ""]) == (1, 3)
    assert (found["last_run.end.timestamp", ""], found["last_success.timestamp", ""]) == (500, 400)
    metrics.end(3)
    found = values(metrics)
    assert (found["running", ""], found["run.exit_code", ""]) == (0, 3)
    assert found["last_run.end.timestamp", ""] > 1000
    assert found["last_success.timestamp", ""] == 400


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 70, 130, 143])
def test_a_success_is_what_status_takes_for_one(code):
    metrics = RunMetrics()
    metrics.earlier = EarlierRuns(succeeded_at=400)
    metrics.end(code)
    bad = RunEnd("completed", exit_code=code).is_bad
    assert (values(metrics)["last_success.timestamp", ""] == 400) == bad == (code > 1)


def test_what_is_written_is_read_again(tmp_path):
    file = MetricsFile(tmp_path / "a.prom")
    assert file.earlier_runs(JOB) == (JOB, NEVER)
    metrics = RunMetrics(clock=lambda: 1e9 + 0.25)
    metrics.earlier = EarlierRuns(attention=2)
    metrics.end(0)
    file.write(JOB, metrics.measured())
    told = EarlierRuns(1e9 + 0.25, 1e9 + 0.25, 0, 2, running=False, updated_at=1e9 + 0.25)
    assert file.earlier_runs(JOB) == (JOB, told)
    assert file.earlier_runs(JobLabels("", JOB.directory)) == (JOB, told)
    for other in (
        JobLabels("another", JOB.directory),
        JobLabels("calls", "/srv/others"),
        JobLabels("", "/"),
    ):
        assert file.earlier_runs(other) == (other, NEVER)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"# HELP batch_uploader_\n{", b"batch_uploader_running 1\n"]
)
def test_a_file_that_was_damaged_is_replaced(tmp_path, content):
    file = MetricsFile(tmp_path / "a.prom")
    file.path.write_bytes(content)
    assert file.earlier_runs(JOB) == (JOB, NEVER)
    metrics = RunMetrics()
    file.write(JOB, metrics.measured())
    assert file.earlier_runs(JOB)[1].running


@pytest.mark.parametrize("name", ['"quoted"', "back\\slash", "two\nlines", "имя", "\udcff", "a{b="])
def test_any_name_of_a_directory_can_be_a_label(tmp_path, monkeypatch, name):
    """Faults 39, 64."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.prom"
    with reporting(Path(name), path) as report:
        report.exit_code = 0
    (family,) = [
        family
        for family in text_string_to_metric_families(path.read_text("utf-8"))
        if family.name == "batch_uploader_run_exit_code"
    ]
    assert family.samples[0].value == 0


async def test_the_whole_of_a_run_is_counted():
    metrics = RunMetrics()
    harness = Harness(recordings(7))
    uploader = harness.uploader()
    metrics.count_by(uploader.stats)
    uploader._listeners.append(metrics)
    async with uploader:
        await uploader.run()
    found = values(metrics)
    assert found["recordings", "uploaded"] == found["recordings.done", ""] == 7
    assert found["requests", "OK"] == found["recordings.to_send", ""] == 7
    assert (found["in_flight", ""], found["attention", ""]) == (0, 0)
    assert found["uploaded.audio", ""] == pytest.approx(0.7)


async def test_it_is_kept_up_while_nothing_happens(tmp_path):
    path = tmp_path / "a.prom"
    report = reporting(tmp_path, path)
    metrics = report._metrics
    seen = set()
    async with metrics.kept_up(pytest.fail, every=0.01):
        for _ in range(500):
            await asyncio.sleep(0.01)
            if path.exists():
                seen.add(MetricsFile(path).earlier_runs(JobLabels("", str(tmp_path)))[1].updated_at)
            if len(seen) > 3:
                break
    assert len(seen) > 3
    assert max(seen) <= time.time()
    with report:
        report.exit_code = 6
    assert MetricsFile(path).earlier_runs(JobLabels("", str(tmp_path)))[1].exit_code == 6


async def test_an_error_of_the_run_passes_as_it_is(tmp_path):
    report = reporting(tmp_path, tmp_path / "a.prom")
    with pytest.raises(ConfigError):
        async with report.kept_up(pytest.fail):
            raise ConfigError("as it is")


def test_a_link_is_not_followed_and_not_replaced(tmp_path):
    """Fault 97."""
    path, other = tmp_path / "a.prom", tmp_path / "other"
    other.write_text("theirs")
    path.symlink_to(other)
    with pytest.raises(ConfigError, match="a link"):
        reporting(tmp_path, path)
    with pytest.raises(OSError, match="a link"):
        MetricsFile(path).write(JOB, RunMetrics().measured())
    assert (path.is_symlink(), other.read_text()) == (True, "theirs")


def test_what_a_kill_left_is_removed(tmp_path):
    path = tmp_path / "a.prom"
    temporary_name(path).touch()
    MetricsFile(path).write(JOB, RunMetrics().measured())
    assert [*tmp_path.iterdir()] == [path]


def test_there_is_nothing_of_the_process_in_it():
    text = as_text(JOB, RunMetrics().measured()).decode()
    assert "python_" not in text
    assert "process_" not in text
    assert text.startswith("# HELP batch_uploader_info")


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_run_that_is_refused_leaves_the_file_to_the_one_that_goes_on(tmp_path, goes_on):
    """Also to one that has just ended, whose success would be taken back otherwise."""
    path, here = tmp_path / "a.prom", JobLabels("", str(tmp_path))
    with reporting(tmp_path, path) as report:
        other = RunMetrics()
        if not goes_on:
            other.end(0)
        MetricsFile(path).write(here, other.measured())
        before = path.read_bytes()
        report.exit_code = 5
    assert path.read_bytes() == before


def test_a_run_that_never_began_takes_no_success_back(tmp_path):
    path, here = tmp_path / "a.prom", JobLabels("", str(tmp_path))
    with reporting(tmp_path, path) as report:
        other = RunMetrics()
        other.end(0)
        MetricsFile(path).write(here, other.measured())
        report.exit_code = 2
    found = MetricsFile(path).earlier_runs(here)[1]
    assert found.exit_code == 2
    assert found.succeeded_at == other.earlier.succeeded_at


def test_a_lock_that_another_one_holds_for_days_is_seen(tmp_path):
    """Its own metrics, if it has any, go elsewhere."""
    path, here = tmp_path / "a.prom", JobLabels("", str(tmp_path))
    MetricsFile(path).write(here, RunMetrics(clock=lambda: time.time() - 3600).measured())
    with reporting(tmp_path, path) as report:
        report.exit_code = 5
    assert MetricsFile(path).earlier_runs(here)[1].exit_code == 5
