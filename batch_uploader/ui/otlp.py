"""``--otlp``: the metrics for an OpenTelemetry collector.

Where it is, how it is spoken to and how often is told by OpenTelemetry's own variables of the
environment (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_METRIC_EXPORT_INTERVAL``, ...). The export has
a thread of its own, in which the metrics are read.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from batch_uploader import __version__
from batch_uploader.core.errors import ConfigError
from batch_uploader.core.text import sentence
from batch_uploader.ui.attemptlog import Warn
from batch_uploader.ui.metrics import INFO, OF_JOB, OF_RUN, JobLabels, Measured, Metric

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter

INSTALL: Final = "pip install 'batch-uploader[otlp]'"

_PROTOCOLS: Final = {"grpc": "grpc", "http/protobuf": "http"}
_USUAL: Final = "http/protobuf"
_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_LAST_SECONDS: Final = 10

Measure = Callable[[], Iterable[Measured]]
"""Gives all metrics that there are now."""


class OtlpMetrics:
    """Exports metrics from now on, until it is closed.

    If the collector does not take them, ``warn`` is called once. Raises ConfigError if the extra is
    not installed, or the protocol is not one of OpenTelemetry's.
    """

    def __init__(self, job: JobLabels, measure: Measure, warn: Warn) -> None:
        self.warn = warn
        self._warned = False
        exporter = _exporter(os.environ)
        self._logger = logging.getLogger("opentelemetry")
        self._handler = _Telling(self._failed)
        self._propagates = self._logger.propagate
        # Its errors go nowhere else: not into the display.
        self._logger.addHandler(self._handler)
        self._logger.propagate = False
        self._provider = _provider(exporter)
        _observe(self._provider, job, measure)

    def close(self) -> None:
        """Export for the last time, for some seconds at most."""
        try:
            self._provider.shutdown(_LAST_SECONDS * 1000)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is over
            self._failed(str(error))
        self._logger.removeHandler(self._handler)
        self._logger.propagate = self._propagates

    def _failed(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            self.warn(f"warning: metrics cannot be exported (OTLP): {sentence(why)}")


class _Telling(logging.Handler):
    """Passes on what is wrong."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


def _exporter(environment: Mapping[str, str]) -> "MetricExporter":
    variable = next((each for each in _VARIABLES if environment.get(each)), "")
    protocol = environment.get(variable, _USUAL)
    if protocol not in _PROTOCOLS:
        raise ConfigError(
            f"the environment variable {variable}: unknown protocol {protocol!r}",
            hint=f"set it to {' or '.join(_PROTOCOLS)}",
        )
    name = f"opentelemetry.exporter.otlp.proto.{_PROTOCOLS[protocol]}.metric_exporter"
    try:
        exporter: MetricExporter = import_module(name).OTLPMetricExporter()
    except ImportError as error:
        raise ConfigError(
            "--otlp needs OpenTelemetry, which is not installed", hint=f"install it: {INSTALL}"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"OpenTelemetry refuses its settings ({sentence(str(error))})",
            hint="check the environment variables OTEL_EXPORTER_OTLP_*",
        ) from error
    return exporter


def _provider(exporter: "MetricExporter") -> "MeterProvider":
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = Resource({"service.name": "batch-uploader", "service.version": __version__})
    # What the environment says of the service wins.
    resource = ours.merge(OTELResourceDetector().detect())
    reader = PeriodicExportingMetricReader(exporter)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _observe(provider: "MeterProvider", job: JobLabels, measure: Measure) -> None:
    meter = provider.get_meter("batch_uploader", __version__)
    for metric in (*OF_JOB, *OF_RUN):
        if metric is INFO:
            continue  # the resource has the version
        # Each run is a process, so its sums begin when it does.
        create = meter.create_observable_counter if metric.grows else meter.create_observable_gauge
        callback = _Observed(metric, job, measure)
        create(metric.name, [callback], unit=metric.unit.value[0], description=metric.about)


class _Observed:
    """What one metric is now."""

    def __init__(self, metric: Metric, job: JobLabels, measure: Measure) -> None:
        self._metric = metric
        self._labels = {"connection": job.connection, "directory": job.directory}
        self._measure = measure

    def __call__(self, _options: "CallbackOptions") -> "Iterable[Observation]":
        from opentelemetry.metrics import Observation

        own = self._metric.label
        for each in self._measure():
            if each.metric is self._metric:
                for label, value in each.values.items():
                    yield Observation(value, self._labels | ({own: label} if own else {}))
