"""Whole runs against the emulator whose answers get lost, with its own records as the judge."""

from collections import Counter

import pytest
from support.emulator_client import wav

from batch_uploader.app.uploader import Uploader
from batch_uploader.core.states import Status
from batch_uploader.emulator import Connection, Emulator, EmulatorOptions, Faults, LostAnswer
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.pace.retry import RetryPolicy
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink
from batch_uploader.sources.memory import MemorySource

STAMP = "upload_key"
KEY = "integration-key"
OPTIONS = RunOptions(
    concurrency=8,
    min_age=0,
    min_age_open=0,
    sidecar_wait=0,
    hold=1.0,
    wait_for_doubt=True,
    retry=RetryPolicy(attempts=5, first_pause=0.01, deadline=1.0),
)


@pytest.fixture
def emulating(tmp_path):
    def start(**faults):
        options = EmulatorOptions(
            store=tmp_path / "talks.db",
            connections=(Connection("calls"),),
            api_keys=frozenset({KEY}),
            relay=faults.get("lost_answer") is LostAnswer.RESET,
            faults=Faults(seed=5, **faults),
        )
        return Emulator(options)

    return start


def recordings(count):
    files = {}
    for number in range(count):
        files[f"{number}.wav"] = wav(0.1 + number / 1000)
        files[f"{number}.json"] = b'{"n": "%d"}' % number
    return files


async def run(emulator, ledger, files, **options):
    host, _, port = emulator.address.rpartition(":")
    endpoint = Endpoint(host, int(port), Security.PLAINTEXT)
    uploader = Uploader(
        source=MemorySource(files),
        sink=SpeechSenseSink(endpoint, ApiKey(KEY), stamp_field=STAMP),
        ledger=ledger,
        options=options.get("options", OPTIONS),
    )
    async with uploader:
        return await uploader.run()


async def run_until_all_is_up(emulator, ledger, count):
    """Run after run, each with one recording more; how many there are in the end.

    What is absent too often in one of them has failed there; what came into doubt last waits for
    the next one to go up.
    """
    for more in range(8):
        summary = await run(emulator, ledger, recordings(count + more))
        if not summary.needs_attention:
            return count + more
        assert {each.status for each in summary.attention} <= {Status.FAILED, Status.IN_DOUBT}
    pytest.fail(str(summary.attention))


async def assert_one_talk_each(emulator, ledger, count):
    talks = emulator.control.talks()
    assert Counter(talk.fields["n"] for talk in talks) == {str(n): 1 for n in range(count)}
    async with ledger:
        rows = {row.path: row.talk_id async for row in ledger.rows()}
    assert rows == {f"{talk.fields['n']}.wav": talk.talk_id for talk in talks}


@pytest.mark.parametrize("loss", list(LostAnswer))
async def test_a_fifth_of_the_answers_lost_in_every_way(emulating, loss):
    """Faults 16, 21, 29 and 30."""
    ledger = MemoryLedger("calls")
    async with emulating(
        lose_answer=0.2, lost_answer=loss, search_lag=0.3, search_unavailable=0.2
    ) as emulator:
        count = await run_until_all_is_up(emulator, ledger, 30)
        await assert_one_talk_each(emulator, ledger, count)


async def test_stored_after_our_deadline(emulating):
    """Fault 17: the hold is longer than that, and the talk is found, not sent again."""
    ledger = MemoryLedger("calls")
    options = RunOptions(
        min_age=0,
        min_age_open=0,
        sidecar_wait=0,
        hold=5.0,
        wait_for_doubt=True,
        retry=RetryPolicy(attempts=2, first_pause=0.01, deadline=0.5),
    )
    async with emulating(store_late=1.5) as emulator:
        summary = await run(emulator, ledger, recordings(3), options=options)
        assert summary.counts == {Status.UPLOADED: 3}
        await assert_one_talk_each(emulator, ledger, 3)


@pytest.mark.slow
async def test_read_whole_and_never_stored(emulating):
    """Fault 15: absent is proved, and then it is sent again, once in each run."""
    ledger = MemoryLedger("calls")
    async with emulating(silent=0.3) as emulator:
        count = await run_until_all_is_up(emulator, ledger, 20)
        await assert_one_talk_each(emulator, ledger, count)


async def test_two_talks_of_one_key_are_a_conflict(emulating):
    """Fault 29: somebody sent it a second time behind our back."""
    files, ledger = recordings(1), MemoryLedger("calls")
    async with emulating(lose_answer=1.0, lost_answer=LostAnswer.INTERNAL) as emulator:
        for _ in range(2):
            # Another ledger: nobody remembers the first one.
            await run(
                emulator,
                MemoryLedger("calls"),
                files,
                options=RunOptions(min_age=0, min_age_open=0, sidecar_wait=0),
            )
        summary = await run(emulator, ledger, files)
        assert summary.counts == {Status.CONFLICT: 1}
        first, second, third = (talk.talk_id for talk in emulator.control.talks())
        said = summary.attention[0].failure.message
        assert f"3 talks carry its key: {first}, {second}, {third}" in said
