"""A run on the shipped fakes: recordings, and a harness where they live through several runs."""

import io
import json
import wave
from collections import Counter

import anyio

from batch_uploader.app.uploader import Uploader
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.memory import MemorySource

OPTIONS = RunOptions(
    concurrency=4, sidecar_wait=0, retry=RetryPolicy(attempts=3, first_pause=0.001)
)


def wav(seed: int, frames: int = 800) -> bytes:
    """Half-silent 16-bit audio, different for each seed."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(seed.to_bytes(4, "little") * (frames // 2))
    return buffer.getvalue()


def sidecar(**fields: str) -> bytes:
    return json.dumps(fields or {"operator_name": "Anna"}).encode()


def of_call(n: int) -> bytes:
    """The sidecar of a call with a default ID of its own."""
    ids = {"date": "2025-01-01T10:00:07Z", "operator_id": "1", "client_id": f"{n:04}"}
    return sidecar(n=str(n), **ids)


def recordings(count: int) -> dict[str, bytes]:
    files = {}
    for n in range(count):
        files[f"{n % 3}/call-{n}.wav"] = wav(n)
        files[f"{n % 3}/call-{n}.json"] = of_call(n)
    return files


class CountsOpening:
    """Of a source, to go before it: counts what is opened; a glance is not."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.opened = Counter()

    def open(self, path):
        self.opened[path] += 1
        return super().open(path)


class CountingSource(CountsOpening, MemorySource):
    pass


class Slow(MemorySink):
    """Holds every upload until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = anyio.Event()
        self.waiting = 0

    async def upload(self, recording, audio, attempt):
        self.waiting += 1
        await self.go.wait()
        return await super().upload(recording, audio, attempt)


class Harness:
    """A source, a sink and a ledger that live through several runs."""

    def __init__(self, files):
        self.source = CountingSource(files)
        self.sink = MemorySink()
        self.ledger = MemoryLedger("connection")
        self.heard = []

    def uploader(self, **kwargs):
        kwargs.setdefault("options", OPTIONS)
        return Uploader(
            source=kwargs.pop("source", self.source),
            sink=kwargs.pop("sink", self.sink),
            ledger=self.ledger,
            listeners=[self.heard.append],
            **kwargs,
        )

    async def run(self, **kwargs):
        self.heard.clear()
        self.source.opened.clear()
        with anyio.fail_after(20):
            async with self.uploader(**kwargs) as uploader:
                return await uploader.run()

    async def rows(self):
        async with self.ledger as ledger:
            return [row async for row in ledger.rows()]

    async def claimed(self):
        """How many claims are open, during a run."""
        return len([row async for row in self.ledger.rows(frozenset({Status.CLAIMED}))])

    async def statuses(self):
        return {row.path: row.status for row in await self.rows()}

    def events(self, kind):
        return [event for event in self.heard if isinstance(event, kind)]
