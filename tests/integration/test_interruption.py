"""The same with gRPC: struck at its awaits, a run leaves what the next one resolves."""

import pytest
from support.emulator_client import wav
from support.interruption import Place, counted_tasks, struck

from batch_uploader.emulator import Connection, Emulator, EmulatorOptions, stored_talks
from batch_uploader.sinks.speechsense.channel import Endpoint, Security
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

KEY = "integration-key"
WHOLE_LIMIT = 2000
STRIDE = 7
CONTENTS = [wav(0.1), wav(0.11), wav(0.2)]


def talks(store):
    return [(talk.fields["n"], talk.talk_id) for talk in stored_talks(store)]


class Service:
    """An emulator that is there for one run at a time: nothing is stored after its end."""

    def __init__(self, store):
        self.store = store
        self._emulator = Emulator(
            EmulatorOptions(
                store=store, connections=(Connection("calls"),), api_keys=frozenset({KEY})
            )
        )

    async def __aenter__(self):
        await self._emulator.__aenter__()
        host, _, port = self._emulator.address.rpartition(":")
        endpoint = Endpoint(host, int(port), Security.PLAINTEXT)
        return SpeechSenseSink(
            endpoint, ApiKey(KEY), whole_limit=WHOLE_LIMIT, stamp_field="upload_key"
        )

    async def __aexit__(self, *exc):
        await self._emulator.__aexit__(*exc)


async def strike(folder, how, at):
    """Whether there is so late an await; judged as it is."""
    place, store = Place(folder, CONTENTS), folder / "talks.db"
    async with Service(store) as sink, counted_tasks():
        landed = await struck(place.uploader(sink), how, at)
    await place.judge(talks(store))
    async with Service(store) as sink, place.uploader(sink) as uploader:
        await uploader.run()
    await place.require_all_up(talks(store))
    return landed


@pytest.mark.parametrize("how", ["native cancellation", "anyio cancellation", "cancel"])
async def test_ended_at_its_awaits(how, tmp_path):
    """Fault 3."""
    at = 1
    while await strike(tmp_path / str(at), how, at):
        at += STRIDE
    assert at > 50
