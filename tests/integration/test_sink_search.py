"""Search and Get of the sink against a service that spells, limits and answers in its own way.

Fault 29.
"""

import pytest
from grpc import StatusCode
from support.sink_samples import Sound, Tries, sample
from support.sink_servers import TalkServer, Trouble

from batch_uploader.core.errors import SearchFailed
from batch_uploader.core.ports import Match
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.credentials import ApiKey
from batch_uploader.sinks.speechsense.sink import SpeechSenseSink

CONTENT = b"RIFF" + bytes(100)


@pytest.fixture
async def server():
    async with TalkServer() as server:
        yield server


@pytest.fixture
async def sink(server):
    async with SpeechSenseSink(server.endpoint, ApiKey("secret"), stamp_field="stamp") as sink:
        yield sink


async def put(sink, path="a.wav"):
    recording = sample(CONTENT, path=path)
    await sink.upload(recording, Sound(CONTENT, whole=True), Tries()())
    return recording.key


@pytest.mark.parametrize("lenient", [False, True], ids=["refused", "finds everything"])
@pytest.mark.parametrize(
    ("spelling", "tried"), [("userMeta.", ["userMeta."]), ("user.", ["userMeta.", "user."])]
)
async def test_however_the_service_spells_the_field_the_talk_is_found(
    server, sink, spelling, tried, lenient
):
    server.spelling, server.lenient = spelling, lenient
    key, _ = await put(sink), await put(sink, "b.wav")
    found = await sink.find("conn-1", [key])
    assert Match("talk-1", "conn-1", key) in found
    names = [name for name, _ in server.searches]
    # A service that finds everything by a name it does not know has found it by that name, too.
    assert names == [f"{each}stamp" for each in (tried[:1] if lenient else tried)]


async def test_the_spelling_that_found_something_is_kept(server, sink):
    server.spelling = "user."
    key = await put(sink)
    await sink.find("conn-1", ["nobody's"])
    await sink.find("conn-1", [key])
    server.searches.clear()
    assert await sink.find("conn-1", ["nobody's"]) == []
    assert server.searches == [("user.stamp", ["nobody's"])]


async def test_many_keys_go_in_one_filter(server, sink):
    keys = [await put(sink, f"{number}.wav") for number in range(25)]
    assert {match.key for match in await sink.find("conn-1", keys)} == set(keys)
    assert [values for _, values in server.searches] == [keys]


async def test_a_service_that_knows_neither_spelling_has_failed(server, sink):
    server.spelling = "meta."
    with pytest.raises(SearchFailed, match=r"no such key: userMeta\.stamp") as caught:
        await sink.find("conn-1", ["key"])
    assert caught.value.code == "INVALID_ARGUMENT"


async def test_a_search_that_finds_all_there_is_is_not_looked_into(server, sink):
    """Get would use up the quota of a day."""
    await put(sink)
    server.talks *= 201
    server.spelling, server.lenient = "meta.", True
    with pytest.raises(SearchFailed, match="201 talks") as caught:
        await sink.find("conn-1", ["key"])
    assert caught.value.code == "SEARCH_INEXACT"


async def test_how_far_the_talk_goes_is_told_once_the_service_knows(server, sink):
    key = await put(sink)
    assert (await sink.find("conn-1", [key]))[0].reaches is None
    server.reached["talk-1"] = 1480
    assert (await sink.find("conn-1", [key]))[0].reaches == 1.48


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.UNAVAILABLE,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
    ],
)
@pytest.mark.parametrize("which", ["search", "get"])
async def test_whatever_they_answer_no_upload_is_judged_by_it(server, sink, code, which):
    key = await put(sink)
    server.troubles.extend([None] * (which == "get"))
    server.troubles.append(Trouble(code, "no, secret"))
    with pytest.raises(SearchFailed) as caught:
        await sink.find("conn-1", [key])
    assert caught.value.code == code.name
    assert "secret" not in str(caught.value)


async def test_an_answer_that_makes_no_sense_has_failed(server, sink):
    await put(sink)
    server.troubles.append(None)

    async def nonsense(request, context):
        return b"\xff"

    server._search = nonsense
    with pytest.raises(SearchFailed, match="the service's answer cannot be read"):
        await sink.find("conn-1", ["key"])


async def test_a_sink_that_is_not_open_has_failed(server):
    sink = SpeechSenseSink(server.endpoint, ApiKey("k"), stamp_field="stamp")
    with pytest.raises(SearchFailed, match="the sink is not open; open it"):
        await sink.find("conn-1", ["key"])


@pytest.mark.parametrize("field", ["user.key", "userMeta.key", "a.key"])
async def test_a_field_with_a_dot_in_its_name_is_compared_whole(server, field):
    """What looks like a spelling may be the name."""
    async with SpeechSenseSink(server.endpoint, ApiKey("secret"), stamp_field=field) as sink:
        key = await put(sink)
        assert await sink.find("conn-1", [key]) == [Match("talk-1", "conn-1", key)]


async def test_a_talk_with_two_stamps_or_that_get_does_not_have_has_none(server, sink):
    """Fault 29: it says nothing of whose it is."""
    key = await put(sink)
    server.talks[0].metadata.fields["userMeta.stamp"] = "another"
    del server.talks[0].metadata.fields["stamp"]
    server.talks[0].metadata.fields["user.stamp"] = key

    async def searched(request, context):
        return wire.SearchTalkResponse(talk_ids=["talk-1", "talk-2"]).SerializeToString()

    async def got(request, context):
        return wire.GetTalkResponse(talk=[server._talk("talk-1")]).SerializeToString()

    server._search, server._get = searched, got
    found = await sink.find("conn-1", [key])
    assert found == [Match("talk-1", "conn-1", None), Match("talk-2", "conn-1", None)]
