"""A harness for whole runs with doubts: a source, a sink that loses, a ledger, made-up time."""

import io
import json
import wave

import anyio

from batch_uploader.app.uploader import Uploader
from batch_uploader.core.clock import Clock
from batch_uploader.core.errors import InDoubt
from batch_uploader.core.model import Timestamp
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.memory import MemorySource
from batch_uploader.ui.tally import Tally
from support.ledger_cases import recording, uploaded
from support.ledger_changes import claim_all, settle
from support.sink_samples import Sound, Tries

STAMP = "upload_key"
LOST = InDoubt("told to", code="INTERNAL", request_id="request-9")
HOUR = 3600.0


def wav(seed):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(seed.to_bytes(4, "little") * 400)
    return buffer.getvalue()


def recordings(count):
    files = {}
    for number in range(count):
        files[f"d/{number}.wav"] = wav(number)
        files[f"d/{number}.json"] = json.dumps({"n": str(number)}).encode()
    return files


class Swallowing(MemorySink):
    """The next so many uploads vanish: the answer is lost, and nothing is stored."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.swallows = 0

    async def upload(self, recording, audio, attempt):
        receipt = await super().upload(recording, audio, attempt)
        if self.swallows:
            self.swallows -= 1
            self.talks.pop()
            raise LOST
        return receipt


class Time:
    """All clocks of a machine; sleeping lets it pass."""

    def __init__(self):
        self.seconds = 1_000_000.0
        self.slept = []
        self.meanwhile = None
        """Awaited before each sleep."""

    @property
    def clock(self):
        return Clock(self.now, self.monotonic, self.sleep)

    def now(self):
        return Timestamp(round(self.seconds * 1e9), "boot", round(self.seconds * 1e9))

    def monotonic(self):
        return self.seconds

    async def sleep(self, seconds):
        if self.meanwhile is not None:
            await self.meanwhile()
        self.slept.append(seconds)
        self.seconds += seconds
        await anyio.lowlevel.checkpoint()


class Harness:
    """A source, a sink and a ledger that live through several runs; time is made by hand.

    One recording at a time: what is sent after a doubt arose is claimed after it.
    """

    def __init__(self, files, *, stamp_field=STAMP, concurrency=1):
        self.concurrency = concurrency
        self.time = Time()
        self.source = MemorySource(files)
        self.sink = Swallowing(stamp_field=stamp_field)
        self.ledger = MemoryLedger(
            "connection",
            clock=lambda: self.time.now().wall_ns,
            boot=lambda: ("boot", self.time.now().boot_ns),
        )
        self.heard = []
        self.tally = Tally()
        self.listeners = [self.heard.append, self.tally.hear]

    def more(self, files):
        """Put what is not there yet."""
        for path in files.keys() - self.source._files.keys():
            self.source.put(path, files[path])

    def gone(self, *paths):
        """Take away what is there."""
        for path in self.source._files.keys() & set(paths):
            self.source.remove(path)

    def uploader(self, *, hold=1800.0, waits=False, sink=None):
        self.heard.clear()
        self.tally = Tally()
        self.listeners = [self.heard.append, self.tally.hear]
        return Uploader(
            source=self.source,
            sink=sink or self.sink,
            ledger=self.ledger,
            options=RunOptions(
                concurrency=self.concurrency,
                retry=RetryPolicy(attempts=2, first_pause=0.001),
                hold=hold,
                wait_for_doubt=waits,
            ),
            listeners=self.listeners,
            clock=self.time.clock,
        )

    async def run(self, **kwargs):
        with anyio.fail_after(20):
            async with self.uploader(**kwargs) as uploader:
                summary = await uploader.run()
        assert +self.tally.stats.counts == {k: n for k, n in summary.counts.items() if n}
        assert self.tally.stats.needs_attention == summary.needs_attention
        grouped = sum(group.count for group in self.tally.stats.groups.values())
        assert grouped == summary.needs_attention
        return summary

    async def rows(self):
        async with self.ledger as ledger:
            return {row.path: row async for row in ledger.rows()}

    async def another_goes_up(self):
        """One that is not of this source, while a run has the ledger open."""
        name = f"another {len(self.sink.talks)}"
        new = recording(name, name, connection_id=self.ledger.connection_id)
        await claim_all(self.ledger, [new], stamp_field=STAMP)
        receipt = await MemorySink.upload(
            self.sink, new, Sound(name.encode(), whole=True), Tries()()
        )
        await settle(self.ledger, uploaded(name, receipt.talk_id))

    def talks(self):
        """How often each recording of the source is at the service."""
        fields = [talk.metadata.fields for talk in self.sink.talks]
        keys = [each["n"] for each in fields if "n" in each]
        return {key: keys.count(key) for key in sorted(keys)}

    def told(self, kind):
        return [event for event in self.heard if isinstance(event, kind)]


class Lagging:
    """Nothing is in the index before its time."""

    def __init__(self, harness, seconds):
        self._harness = harness
        self._until = harness.time.seconds + seconds

    def __contains__(self, talk_id):
        return self._harness.time.seconds < self._until
