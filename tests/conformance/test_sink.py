"""What every sink does: the one suite, on the shipped fake and on the real thing."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from grpc import StatusCode
from support.sink_samples import GONE, METADATA, ShortSound, Sound, Tries, sample
from support.sink_servers import Moment, TalkServer, Trouble

from batch_uploader.core.errors import (
    InDoubt,
    NotSent,
    Rejected,
    SearchFailed,
    SourceChanged,
    Throttled,
    Unauthorized,
)
from batch_uploader.core.model import Container, Role
from batch_uploader.sinks.memory import MemorySink
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

SMALL = b"RIFF" + bytes(range(256)) * 4
LARGE = b"RIFF" + bytes(range(256)) * 1024
LIMIT = 64 * 1024

CODES = {
    NotSent: StatusCode.UNAVAILABLE,
    Throttled: StatusCode.RESOURCE_EXHAUSTED,
    Rejected: StatusCode.INVALID_ARGUMENT,
    InDoubt: StatusCode.INTERNAL,
    Unauthorized: StatusCode.UNAUTHENTICATED,
}


@dataclass
class MemoryBench:
    sink: MemorySink

    def fail_next(self, kind):
        self.sink.fail_next(kind("told to", code=CODES[kind].name, request_id="r"))

    def lose_next(self):
        self.sink.lose_next(InDoubt("told to", code="INTERNAL"))

    def fail_search(self):
        self.sink.fail_search(SearchFailed("told to", code="UNAVAILABLE", request_id="r"))

    def hide_latest(self):
        self.sink.unindexed.add(self.sink.talks[-1].talk_id)

    @property
    def talks(self):
        return [
            SimpleNamespace(
                talk_id=talk.talk_id,
                connection_id=talk.connection_id,
                key=talk.key,
                fields=dict(talk.metadata.fields),
                users=[(u.id, u.role, dict(u.fields)) for u in talk.metadata.users],
                container=talk.audio.container,
                sha256=talk.sha256,
                size=talk.size,
            )
            for talk in self.sink.talks
        ]


@dataclass
class SpeechSenseBench:
    sink: SpeechSenseSink
    server: TalkServer

    def fail_next(self, kind):
        self.server.troubles.append(Trouble(CODES[kind], "told to"))

    def lose_next(self):
        self.server.troubles.append(Trouble(StatusCode.INTERNAL, "told to", moment=Moment.STORED))

    def fail_search(self):
        self.server.troubles.append(Trouble(StatusCode.UNAVAILABLE, "told to"))

    def hide_latest(self):
        self.server.unindexed = 1

    @property
    def talks(self):
        roles = {
            wire.UserRole.USER_ROLE_OPERATOR: Role.OPERATOR,
            wire.UserRole.USER_ROLE_CLIENT: Role.CLIENT,
        }
        containers = {
            wire.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV: Container.WAV,
            wire.ContainerAudio.CONTAINER_AUDIO_TYPE_OGG_OPUS: Container.OGG_OPUS,
            wire.ContainerAudio.CONTAINER_AUDIO_TYPE_MP3: Container.MP3,
            0: Container.RAW,
        }
        return [
            SimpleNamespace(
                talk_id=f"talk-{number}",
                connection_id=talk.metadata.connection_id,
                key=talk.headers["idempotency-key"],
                fields=dict(talk.metadata.fields),
                users=[(u.id, roles[u.role], dict(u.fields)) for u in talk.metadata.users],
                container=containers[talk.audio.container_audio.container_audio_type],
                sha256=talk.sha256,
                size=talk.size,
            )
            for number, talk in enumerate(self.server.talks, start=1)
        ]


@asynccontextmanager
async def bench_of(kind, stamp_field=None):
    if kind == "memory":
        async with MemorySink(whole_limit=LIMIT, stamp_field=stamp_field) as sink:
            yield MemoryBench(sink)
        return
    async with (
        TalkServer() as server,
        SpeechSenseSink(
            server.endpoint,
            ApiKey("k"),
            whole_limit=LIMIT,
            chunk_size=10_000,
            stamp_field=stamp_field,
        ) as sink,
    ):
        yield SpeechSenseBench(sink, server)


@pytest.fixture(params=["memory", "speechsense"])
async def bench(request):
    async with bench_of(request.param) as bench:
        yield bench


@pytest.fixture(params=["memory", "speechsense"])
async def stamping(request):
    """One that writes stamps."""
    async with bench_of(request.param, "upload_key") as bench:
        yield bench


def sound(content, **kwargs):
    return Sound(content, whole=len(content) <= LIMIT, **kwargs)


async def test_tells_up_to_which_size_it_takes_a_recording_whole(bench):
    assert bench.sink.whole_limit == LIMIT


async def test_no_pool_is_expanded_before_more_connections_carry_more(bench):
    assert not bench.sink.expanded


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["whole", "stream"])
async def test_stores_what_it_is_given_and_names_the_talk(bench, content):
    recording = sample(content)
    tries = Tries()
    receipt = await bench.sink.upload(recording, sound(content), tries())
    (talk,) = bench.talks
    assert talk.talk_id == receipt.talk_id
    assert receipt.request_id
    assert (talk.connection_id, talk.key) == ("conn-1", recording.key)
    assert talk.sha256 == recording.fingerprint.sha256
    assert talk.size == tries.sent == len(content)
    assert talk.fields == METADATA.fields
    assert talk.users == [(u.id, u.role, dict(u.fields)) for u in METADATA.users]


@pytest.mark.parametrize("container", list(Container))
async def test_keeps_what_kind_of_audio_it_is(bench, container):
    await bench.sink.upload(sample(SMALL, container=container), sound(SMALL), Tries()())
    assert bench.talks[0].container is container


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", list(CODES))
async def test_a_failed_attempt_stores_nothing_and_the_next_one_is_as_if_new(bench, kind, content):
    bench.fail_next(kind)
    recording = sample(content)
    with pytest.raises(kind) as caught:
        await bench.sink.upload(recording, sound(content), Tries()())
    assert type(caught.value) is kind
    assert caught.value.code == CODES[kind].name
    assert bench.talks == []
    await bench.sink.upload(recording, sound(content), Tries()())
    assert [talk.sha256 for talk in bench.talks] == [recording.fingerprint.sha256]


async def test_a_lost_answer_is_in_doubt_though_the_talk_is_there(bench):
    bench.lose_next()
    with pytest.raises(InDoubt):
        await bench.sink.upload(sample(SMALL), sound(SMALL), Tries()())
    assert len(bench.talks) == 1


@pytest.mark.parametrize("error", [SourceChanged("it grew"), GONE], ids=["changed", "gone"])
async def test_a_source_that_fails_before_its_end_stores_nothing(bench, error):
    """Faults 33 and 35."""
    with pytest.raises(SourceChanged, match=str(error)):
        await bench.sink.upload(sample(LARGE), sound(LARGE, error=error), Tries()())
    await bench.sink.upload(sample(SMALL), sound(SMALL), Tries()())
    assert [talk.size for talk in bench.talks] == [len(SMALL)]


async def test_a_source_that_ends_early_without_a_word_stores_nothing(bench):
    with pytest.raises(SourceChanged):
        await bench.sink.upload(sample(LARGE), ShortSound(LARGE, whole=False), Tries()())
    await bench.sink.upload(sample(SMALL), sound(SMALL), Tries()())
    assert [talk.size for talk in bench.talks] == [len(SMALL)]


async def test_sends_what_it_is_told_even_twice(bench):
    recording = sample(SMALL)
    first = await bench.sink.upload(recording, sound(SMALL), Tries()())
    second = await bench.sink.upload(recording, sound(SMALL), Tries()())
    assert first.talk_id != second.talk_id
    assert [talk.key for talk in bench.talks] == [recording.key] * 2


async def test_many_at_once_do_not_mix(bench):
    contents = [bytes([number]) * (number * 9_000 + 1) for number in range(16)]
    receipts = await asyncio.gather(
        *(
            bench.sink.upload(sample(content, path=f"{number}.wav"), sound(content), Tries()())
            for number, content in enumerate(contents)
        )
    )
    by_id = {talk.talk_id: talk.sha256 for talk in bench.talks}
    assert [by_id[receipt.talk_id] for receipt in receipts] == [
        hashlib.sha256(content).digest() for content in contents
    ]


async def test_closes_the_source_it_read_from(bench):
    audio = sound(LARGE)
    await bench.sink.upload(sample(LARGE), audio, Tries()())
    assert audio.closed == 1


# Search: fault 29


def stamps(matches):
    return sorted((match.talk_id, match.connection_id, match.key) for match in matches)


async def test_finds_a_talk_by_its_key_also_one_whose_answer_was_lost(stamping):
    """Fault 16."""
    assert stamping.sink.stamp_field == "upload_key"
    a, b, c = (sample(bytes([number]) * 100, path=f"{number}.wav") for number in range(3))
    await stamping.sink.upload(a, sound(bytes([0]) * 100), Tries()())
    stamping.lose_next()
    with pytest.raises(InDoubt):
        await stamping.sink.upload(b, sound(bytes([1]) * 100), Tries()())
    found = await stamping.sink.find("conn-1", [a.key, b.key, c.key])
    assert stamps(found) == [("talk-1", "conn-1", a.key), ("talk-2", "conn-1", b.key)]
    assert stamps(await stamping.sink.find("conn-1", [b.key])) == [("talk-2", "conn-1", b.key)]
    assert await stamping.sink.find("conn-1", [c.key]) == []


async def test_finds_nothing_in_another_connection(stamping):
    recording = sample(SMALL)
    await stamping.sink.upload(recording, sound(SMALL), Tries()())
    assert await stamping.sink.find("conn-2", [recording.key]) == []


async def test_finds_each_of_two_talks_with_one_key(stamping):
    recording = sample(SMALL)
    for _ in range(2):
        await stamping.sink.upload(recording, sound(SMALL), Tries()())
    found = await stamping.sink.find("conn-1", [recording.key])
    assert [match.talk_id for match in found] == ["talk-1", "talk-2"]


async def test_does_not_find_what_the_index_has_not_seen(stamping):
    first, second = sample(SMALL), sample(LARGE, path="b.wav")
    await stamping.sink.upload(first, sound(SMALL), Tries()())
    await stamping.sink.upload(second, sound(LARGE), Tries()())
    stamping.hide_latest()
    found = await stamping.sink.find("conn-1", [first.key, second.key])
    assert [match.key for match in found] == [first.key]


async def test_a_search_that_fails_says_so(stamping):
    recording = sample(SMALL)
    await stamping.sink.upload(recording, sound(SMALL), Tries()())
    stamping.fail_search()
    with pytest.raises(SearchFailed) as caught:
        await stamping.sink.find("conn-1", [recording.key])
    assert caught.value.code == "UNAVAILABLE"
    assert len(await stamping.sink.find("conn-1", [recording.key])) == 1


async def test_without_a_stamp_field_there_is_nothing_to_search_by(bench):
    assert bench.sink.stamp_field is None
    with pytest.raises(SearchFailed):
        await bench.sink.find("conn-1", [sample(SMALL).key])
