"""The pace of whole runs against the emulator: pushback, outage, revoked credentials, limits."""

import asyncio
import io
import json
import time
import wave
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace

from batch_uploader.app.uploader import Uploader
from batch_uploader.core import events
from batch_uploader.core.model import Ending
from batch_uploader.core.states import Status
from batch_uploader.emulator import Emulator, EmulatorOptions, Faults, Outage
from batch_uploader.emulator.server import API_KEY
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.pace.concurrency import START
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from batch_uploader.sources.memory import MemorySource


def wav(seed, seconds=0.05):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(seed.to_bytes(4, "little") * round(4000 * seconds))
    return buffer.getvalue()


def recordings(count):
    files = {}
    for n in range(count):
        files[f"{n % 40}/{n}.wav"] = wav(n)
        files[f"{n % 40}/{n}.json"] = json.dumps({"name": str(n)}).encode()
    return files


class Run:
    """A run under way: when each attempt began and ended, and how."""

    def __init__(self):
        self.heard = []
        self.summary = None
        self.done = anyio.Event()

    def hear(self, event):
        self.heard.append((time.monotonic(), event))

    def ends(self, start=0.0, end=float("inf"), *, code=None):
        return [
            event
            for moment, event in self.heard
            if isinstance(event, events.AttemptEnded)
            and start <= moment < end
            and code in {None, event.code}
        ]

    def first(self, kind):
        return next((event for _, event in self.heard if isinstance(event, kind)), None)


class Harness:
    """A source and a ledger before an emulator."""

    def __init__(self, emulator, count):
        self.emulator = emulator
        self.control = emulator.control
        self.source = MemorySource(recordings(count))
        self.ledger = MemoryLedger("demo")
        self.key = API_KEY

    @asynccontextmanager
    async def running(self, **options):
        run = Run()
        endpoint = Endpoint.parse(self.emulator.address, security=Security.PLAINTEXT)
        uploader = Uploader(
            source=self.source,
            sink=SpeechSenseSink(endpoint, ApiKey(self.key)),
            ledger=self.ledger,
            options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0, **options),
            listeners=[run.hear],
        )

        async def work():
            run.summary = await uploader.run()
            run.done.set()

        with anyio.fail_after(90):
            async with uploader, anyio.create_task_group() as group:
                group.start_soon(work)
                yield run

    async def run(self, **options):
        async with self.running(**options) as run:
            await run.done.wait()
        return run

    async def stored(self):
        """How many talks there are of each recording."""
        names = [talk.fields["name"] for talk in await asyncio.to_thread(self.control.talks)]
        return {name: names.count(name) for name in names}

    async def statuses(self):
        async with self.ledger as ledger:
            return {row.path: row async for row in ledger.rows()}


@pytest.fixture
def harness(tmp_path):
    @asynccontextmanager
    async def make(count, **faults):
        options = EmulatorOptions(tmp_path / "talks.db", faults=Faults(**faults))
        async with Emulator(options) as emulator:
            yield Harness(emulator, count)

    return make


class TestPushback:
    async def test_pushback_holds_everybody_back(self, harness):
        """Fault 23: while the service asks for a pause nobody begins."""
        async with harness(40, exhausted=0.1, pushback=0.5) as there:
            run = await there.run()
        pauses = [(at, e.resumes_in) for at, e in run.heard if isinstance(e, events.Paused)]
        assert pauses
        for at, seconds in pauses:
            ends = [
                (moment - event.elapsed)
                for moment, event in run.heard
                if isinstance(event, events.AttemptEnded)
            ]
            assert not [began for began in ends if at + 0.01 < began < at + seconds - 0.01]
        assert run.summary.counts == {Status.UPLOADED: 40}

    async def test_negative_pushback_is_no_retry(self, harness):
        """Fault 23: -1 on everything: one attempt each, and nothing stored."""
        async with harness(10, unavailable=1.0, pushback=-1.0) as there:
            run = await there.run()
            assert run.summary.counts == {Status.FAILED: 10}
            assert there.control.requests["Upload"] == 10
            assert await there.stored() == {}


@pytest.mark.slow
class TestOutage:
    async def test_an_outage_burns_no_attempt_and_ends_without_a_burst(self, harness):
        """Fault 27: connections are refused for eight seconds, in the middle."""
        retry = RetryPolicy(attempts=3)
        async with harness(600, latency=0.02) as there:
            async with there.running(retry=retry, rate=100.0) as run:
                await anyio.sleep(2)
                there.control.faults = replace(there.control.faults, outage=Outage(0, 8))
                down = time.monotonic()
                await anyio.sleep(4)
                probes = len(run.ends(down + 2, down + 4))
                await run.done.wait()
            stored = await there.stored()
        assert probes <= 6, "one at a time, ever rarer"
        counts = run.summary.counts
        assert counts.get(Status.FAILED, 0) == 0
        # What was under way when the connections broke may be stored: that is held, not repeated.
        assert counts[Status.UPLOADED] + counts.get(Status.IN_DOUBT, 0) == 600
        assert counts.get(Status.IN_DOUBT, 0) <= 32
        assert set(stored.values()) == {1}
        assert max(row.attempts for row in (await there.statuses()).values()) <= 3
        paused = [e for at, e in run.heard if isinstance(e, events.Paused) and at > down]
        assert "cannot be reached" in paused[-1].reason
        back = next(
            moment
            for moment, event in run.heard
            if isinstance(event, events.AttemptEnded) and event.code == "OK" and moment > down + 7
        )
        began = [
            moment - event.elapsed
            for moment, event in run.heard
            if isinstance(event, events.AttemptEnded) and moment > back
        ]
        at_once = sum(back <= moment < back + 0.015 for moment in began)
        assert at_once <= START

    async def test_an_outage_from_the_start_is_waited_out(self, harness):
        """Fault 27."""
        async with harness(50, outage=Outage(0, 3)) as there:
            await anyio.sleep(0.1)
            run = await there.run(retry=RetryPolicy(attempts=8))
            assert run.summary.counts == {Status.UPLOADED: 50}
            assert set((await there.stored()).values()) == {1}

    async def test_an_outage_may_last_too_long(self, harness):
        """Fault 27: --max-outage ends the run; the next one goes on."""
        async with harness(50, outage=Outage(0, 600)) as there:
            await anyio.sleep(0.1)
            run = await there.run(max_outage=2.0)
            assert run.summary.ending is Ending.UNREACHABLE
            assert "nothing got through, and --max-outage is 2s" in run.summary.reason
            assert run.summary.counts.get(Status.FAILED, 0) == 0
            there.control.faults = Faults()
            await there.emulator.listen()
            assert (await there.run()).summary.counts == {Status.UPLOADED: 50}
            assert set((await there.stored()).values()) == {1}


class TestCredentials:
    async def test_a_key_that_is_revoked_in_the_middle(self, harness):
        """Fault 25: the run stops within one window of in-flight work and marks nothing."""
        async with harness(500) as there:
            async with there.running(rate=200.0) as run:
                while len(run.ends()) < 50:
                    await anyio.sleep(0.001)
                before = there.control.requests.total()
                there.control.revoke()
                await run.done.wait()
            assert run.summary.ending is Ending.UNAUTHORIZED
            assert there.control.requests.total() - before <= 2 * 32
            refused = run.ends(code="UNAUTHENTICATED")
            assert 1 <= len(refused) <= 32
            assert {row.status for row in (await there.statuses()).values()} == {Status.UPLOADED}
            there.control.reinstate()
            assert (await there.run()).summary.ending is Ending.COMPLETED
            assert set((await there.stored()).values()) == {1}
            assert len(await there.stored()) == 500


class TestLimits:
    async def test_so_many_recordings_a_run(self, harness):
        """Fault 74: exactly so many, and the next run goes on."""
        async with harness(25) as there:
            for done in (10, 20):
                run = await there.run(max_recordings=10)
                assert run.summary.ending is Ending.LIMIT
                assert "--max-recordings is reached (10)" in run.summary.reason
                assert len(await there.stored()) == done
            last = await there.run(max_recordings=10)
            assert last.summary.ending is Ending.COMPLETED
            assert set((await there.stored()).values()) == {1}
            assert len(await there.stored()) == 25

    async def test_so_much_audio_a_run(self, harness):
        """Fault 74: the hours of audio are money."""
        async with harness(25) as there:
            run = await there.run(max_audio=0.5)
            assert run.summary.ending is Ending.LIMIT
            assert run.summary.reason.startswith("--max-audio is reached (500ms of 500ms")
            assert run.summary.uploaded_duration == pytest.approx(0.5)
            assert (await there.run()).summary.ending is Ending.COMPLETED

    async def test_what_is_refused_costs_nothing(self, harness):
        """Fault 74: what never got through leaves its part to others."""
        async with harness(25, unavailable=0.5, pushback=-1.0) as there:
            run = await there.run(max_recordings=5)
            assert run.summary.counts[Status.UPLOADED] == 5
            assert run.summary.counts[Status.FAILED] > 0
            assert run.summary.ending is Ending.LIMIT
            assert len(await there.stored()) == 5

    async def test_the_users_rate(self, harness):
        async with harness(40) as there:
            run = await there.run(rate=20.0)
            moments = [at for at, e in run.heard if isinstance(e, events.UploadStarted)]
            assert 1.85 <= moments[-1] - moments[0] <= 4
