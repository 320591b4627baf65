"""``--metrics-file``: the metrics for the textfile collector of Prometheus's node_exporter.

The file has what outlives a run, such as when the last success was, and the next run takes it from
there. Everything here blocks, for the disk.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from batch_uploader.core.errors import ConfigError
from batch_uploader.host.files import read_own, remove_leftovers, replace_atomically
from batch_uploader.ui import metrics
from batch_uploader.ui.metrics import EarlierRuns, JobLabels, Measured

_OURS = b"# HELP batch_uploader_"
_MOST = 1024 * 1024
_NEVER = EarlierRuns(succeeded_at=0.0)
_READABLE = 0o644
"""A collector is another user; nothing in the file is personal but the directory's name."""


class MetricsFile:
    """The file of one job. A new one can be read by everyone, an old one keeps its mode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.of_another: JobLabels | None = None
        """The job of which it told, if that is not the one that was asked for."""

    def require_ours(self) -> None:
        """Raise ConfigError if anything else is there, which must not be replaced."""
        problem = None
        try:
            # Also of a file that would be created: in /dev it would take a device's place.
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                problem = "it is a link, a directory or a device"
            elif (start := read_own(self.path, len(_OURS))) and start != _OURS:
                problem = "it has no metrics of this program"
        except OSError:
            return  # it is not there, and if it cannot be written the run goes on
        if problem is not None:
            raise ConfigError(
                f"the metrics file {os.fspath(self.path)!r} would be replaced ({problem})",
                hint="specify a new one, such as batch_uploader.prom",
                setting="metrics-file",
            )

    def earlier_runs(self, job: JobLabels) -> tuple[JobLabels, EarlierRuns]:
        """What it tells of the job's earlier runs; without a connection, of the one in it."""
        values: dict[str, float] = {}
        try:
            text = (read_own(self.path, _MOST) or b"").decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    labels = sample.labels
                    found = JobLabels(labels.get("connection", ""), labels["directory"])
                    if not job.connection and found.directory == job.directory:
                        job = found
                    if found != job:
                        self.of_another = found
                    elif len(labels) == len(JobLabels.__struct_fields__):
                        values[sample.name] = sample.value
        except (OSError, ValueError, KeyError):
            return job, _NEVER  # it is replaced by what is known
        exit_code = values.get(metrics.EXIT_CODE.in_prometheus)
        attention = values.get(metrics.ATTENTION.in_prometheus)
        return job, EarlierRuns(
            ended_at=values.get(metrics.ENDED.in_prometheus, 0.0),
            succeeded_at=values.get(metrics.SUCCEEDED.in_prometheus, 0.0),
            exit_code=None if exit_code is None else int(exit_code),
            attention=None if attention is None else int(attention),
            running=values.get(metrics.RUNNING.in_prometheus) == 1,
            updated_at=values.get(metrics.UPDATED.in_prometheus, 0.0),
        )

    def write(self, job: JobLabels, measured: Iterable[Measured]) -> None:
        """Replace the file atomically. Raises OSError."""
        text = as_text(job, measured)
        mode = _READABLE
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EEXIST, "it is a link, a directory or a device", self.path)
            mode = stat.S_IMODE(status.st_mode)
        remove_leftovers(self.path)
        with replace_atomically(self.path) as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(text)


def as_text(job: JobLabels, measured: Iterable[Measured]) -> bytes:
    """The metrics in Prometheus's text format."""
    # One of its own: the default one has metrics of the process.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(job, measured))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, job: JobLabels, measured: Iterable[Measured]) -> None:
        self._job = job
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        labels = [*JobLabels.__struct_fields__]
        values = [self._job.connection, self._job.directory]
        for each in self._measured:
            metric = each.metric
            own = [metric.label] if metric.label else []
            # Gauges, also where it is a sum: the next run begins at 0.
            family = GaugeMetricFamily(metric.in_prometheus, metric.about, labels=labels + own)
            for label, value in each.values.items():
                family.add_metric([*values, label] if own else values, value)
            yield family
