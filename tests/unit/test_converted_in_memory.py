"""What is made of a recording is in memory if there is some for it, and goes in one message."""

import hashlib
from contextlib import closing

import anyio
import pytest
from support.engine_harness import CountsOpening
from support.sound_makers import call_wav, ffmpeg

from batch_uploader.app.preparing import preparer_of
from batch_uploader.app.uploader import Uploader
from batch_uploader.core.states import Status
from batch_uploader.ledgers.memory import MemoryLedger
from batch_uploader.pace.memory import ByteBudget
from batch_uploader.prepare.audio import AudioRules, Convert
from batch_uploader.prepare.bundle import bundle_of
from batch_uploader.prepare.memory import NeedsMemory
from batch_uploader.prepare.rules import Rules, SidecarMode
from batch_uploader.run.options import RunOptions
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sources.directory import DirectorySource

RULES = Rules(audio=AudioRules(convert=Convert.NEEDED), sidecar=SidecarMode.OPTIONAL)
SECONDS = 40
SIZE = 44 + SECONDS * 8000 * 2
LIMIT = 1 << 24


def envelope(recording):
    """As long as a real one: with the size of what is sent."""
    return b"message of %d bytes:" % recording.nbytes


@pytest.fixture
def archive(tmp_path):
    for number in range(6):
        law = ffmpeg(call_wav(number, SECONDS), "wav", "wav", "-c:a", "pcm_mulaw")
        (tmp_path / f"{number}.wav").write_bytes(law)
    return tmp_path


class Opened(CountsOpening, DirectorySource):
    pass


def test_it_is_made_behind_room_for_its_message_and_never_copied(archive):
    source = DirectorySource(archive)
    bundle = bundle_of(source.stat("3.wav"), None)
    preparer = preparer_of(source, "connection", RULES)

    with closing(preparer.prepare(bundle, LIMIT, envelope)) as prepared:
        sent = prepared.recording.sent
        in_pieces = anyio.run(all_of, prepared.payload)
        message = prepared.payload.framed(envelope(prepared.recording))
        assert anyio.run(all_of, prepared.payload) == in_pieces, "by a sink that streams it later"

    assert message.startswith(b"message of %d bytes:RIFF" % SIZE)
    content = message[-SIZE:]
    assert content == in_pieces
    assert len(message) == SIZE + len(envelope(prepared.recording))
    assert (sent.size, sent.sha256) == (SIZE, hashlib.sha256(content).digest())
    with closing(preparer.prepare(bundle, SIZE - 1, envelope)) as streamed:
        assert streamed.payload.framed(b"") is None, "too large for one message"
        assert anyio.run(all_of, streamed.payload) == content
        assert streamed.recording.sent == sent


async def all_of(payload):
    return b"".join([piece async for piece in payload.chunks(100_000)])


def test_it_asks_for_the_memory_before_it_decodes(archive):
    source = DirectorySource(archive)
    bundle = bundle_of(source.stat("3.wav"), None)
    preparer = preparer_of(source, "connection", RULES)

    with pytest.raises(NeedsMemory) as more:
        preparer.prepare(bundle, LIMIT, envelope, SIZE - 1)
    assert more.value.nbytes == SIZE
    preparer.prepare(bundle, LIMIT, envelope, SIZE).close()


def test_a_run_holds_as_much_as_it_sends_and_never_more_than_it_may(archive, monkeypatch):
    """Two fit at a time: whoever waits for memory holds none meanwhile."""
    most, held = int(2.5 * SIZE * 2.1), []
    take = ByteBudget.take

    async def taking(budget, nbytes):
        await take(budget, nbytes)
        held.append((budget._held, nbytes))

    monkeypatch.setattr(ByteBudget, "take", taking)
    source, sink = Opened(archive), MemorySink()

    async def run():
        options = RunOptions(concurrency=6, memory=most, min_age=0, min_age_open=0)
        ledger = MemoryLedger("conn")
        async with Uploader(
            source=source, sink=sink, ledger=ledger, options=options, rules=RULES
        ) as uploader:
            return await uploader.run()

    assert anyio.run(run).counts == {Status.UPLOADED: 6}
    assert max(whole for whole, _ in held) <= most
    assert max(nbytes for _, nbytes in held) == int(SIZE * 2.1)
    assert {talk.sha256 for talk in sink.talks} == {
        hashlib.sha256(call_wav(number, SECONDS)[:44] + decoded(archive, number)).digest()
        for number in range(6)
    }


def decoded(archive, number):
    content = (archive / f"{number}.wav").read_bytes()
    return ffmpeg(content, "wav", "raw", "-f", "s16le")
