"""A listener for OpenTelemetry: a span for each recording, and metrics.

    python examples/opentelemetry_listener.py calls/

Uploads to a sink in memory and prints the spans and the metrics as JSON lines; in your program the
exporters are those that you have already. Needs opentelemetry-sdk.
"""

import asyncio
import json
import sys
from pathlib import Path

from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context

from batch_uploader import DirectorySource, MemorySink, SqliteLedger, Status, Uploader
from batch_uploader.core import events
from batch_uploader.core.model import Outcome


class TelemetryListener:
    """A span for the run, below it one for each recording, in which each attempt is an event."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._run: Span | None = None
        self._open: dict[str, Span] = {}
        self._recordings = meter.create_counter("uploads.recordings", "{recording}")
        self._audio = meter.create_counter("uploads.audio", "s", "what the service bills")
        self._attempts = meter.create_histogram("uploads.attempt.duration", "s")

    def __call__(self, event: events.Event) -> None:
        """Called on the event loop; the exporters have threads of their own."""
        match event:
            case events.RunStarted(run_id=run_id):
                self._run = self._tracer.start_span("upload run", attributes={"run.id": run_id})
            case events.UploadStarted(path=path, size=size):
                parent = set_span_in_context(self._run) if self._run else None
                span = self._tracer.start_span("upload", parent)
                span.set_attributes({"recording.path": path, "recording.size": size})
                self._open[path] = span
            case events.AttemptEnded(path=path, code=code, elapsed=elapsed):
                self._attempts.record(elapsed, {"code": code})
                if path in self._open:
                    self._open[path].add_event("attempt", {"code": code, "number": event.attempt})
            case events.Settled(outcome=outcome):
                self._settle(outcome)
            case events.ReturnedUnsent(path=path) | events.Waiting(path=path):
                self._end(path)
            case events.RunFinished(summary=summary) if self._run:
                self._run.set_attribute("run.ending", summary.ending.value)
                self._run.end()
            case _:
                pass

    def _settle(self, outcome: Outcome) -> None:
        self._recordings.add(1, {"status": outcome.status.value})
        if outcome.status is Status.UPLOADED:
            self._audio.add(outcome.duration or 0)
        span = self._open.get(outcome.path)
        if span and outcome.talk_id:
            span.set_attribute("talk.id", outcome.talk_id)
        if span and outcome.failure:
            span.set_status(StatusCode.ERROR, outcome.failure.message)
        self._end(outcome.path)

    def _end(self, path: str) -> None:
        if span := self._open.pop(path, None):
            span.end()


async def main(directory: Path) -> None:
    """Upload a directory with the listener attached."""
    spans = TracerProvider()
    to_stdout = ConsoleSpanExporter(formatter=lambda span: json.dumps(json.loads(span.to_json())))
    spans.add_span_processor(BatchSpanProcessor(to_stdout))
    metrics = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
    uploader = Uploader(
        source=DirectorySource(directory),
        sink=MemorySink(),
        ledger=SqliteLedger(directory / ".batch-uploader" / "ledger.db", "example"),
        listeners=[TelemetryListener(spans.get_tracer("uploads"), metrics.get_meter("uploads"))],
    )
    try:
        async with uploader:
            await uploader.run()
    finally:
        spans.shutdown()
        metrics.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program, the directory
        sys.exit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
