"""Search and Get of the emulator, which settle doubts."""

import asyncio

import grpc
import pytest
from support.emulator_client import metadata, refused, running, upload, violations, wav

from batch_uploader.app.init.learned import learn_fields
from batch_uploader.core.errors import ConfigError, Unauthorized
from batch_uploader.emulator import API_KEY, Connection, Faults
from batch_uploader.prepare.sidecar import FieldType
from batch_uploader.sinks.speechsense import wire
from batch_uploader.sinks.speechsense.channel import Endpoint
from batch_uploader.sinks.speechsense.credentials import ApiKey

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def emulator(tmp_path):
    connections = (Connection("demo"), Connection("other"))
    async with running(tmp_path, connections=connections) as (emulator, client):
        yield emulator, client


def match(key, *values, inverse=False):
    any_match = wire.AnyMatchFilter(values=values)
    return wire.Filter(key=key, any_match=any_match, inverse=inverse)


async def fill(client, count, connection="demo"):
    ids = []
    for number in range(count):
        fields = {"n": str(number), "parity": ("even", "odd")[number % 2]}
        ids.append(await client.upload(upload(wav(0.1), talk=metadata(connection, fields))))
    return ids


async def test_any_match_of_metadata_fields_and_its_inverse(emulator):
    _, client = emulator
    ids = await fill(client, 6)
    for filters, expected in (
        ([], ids),
        ([match("userMeta.n", "3")], [ids[3]]),
        ([match("userMeta.n", "4", "1", "nobody's")], [ids[1], ids[4]]),
        ([match("userMeta.parity", "odd")], ids[1::2]),
        ([match("userMeta.parity", "odd", inverse=True)], ids[0::2]),
        ([match("userMeta.parity", "odd"), match("userMeta.n", "1", "2")], [ids[1]]),
        ([match("userMeta.n", "ODD")], []),
        ([match("userMeta.unknown", "1")], []),
        ([match("userMeta.unknown", "1", inverse=True)], ids),
        ([match("userMeta.n", *map(str, range(40_000)))], ids),
    ):
        found = await client.search(connection_id="demo", filters=filters)
        assert (list(found.talk_ids), found.talks_count) == (expected, len(expected))
        assert found.next_page_token == ""


async def test_a_search_stays_within_its_connection_if_it_names_one(emulator):
    _, client = emulator
    [here] = await fill(client, 1)
    [there] = await fill(client, 1, "other")
    assert (await client.search(connection_id="demo")).talk_ids == [here]
    assert (await client.search(connection_id="other")).talk_ids == [there]
    assert (await client.search()).talk_ids == [here, there]
    assert [talk.id for talk in await client.get(here, there, connection_id="other")] == [there]


async def test_pages_add_up_to_the_whole(emulator):
    _, client = emulator
    ids = await fill(client, 7)
    pages, token = [], ""
    while True:
        found = await client.search(page_size=3, page_token=token)
        assert found.talks_count == 7
        pages.append(list(found.talk_ids))
        token = found.next_page_token
        if not token:
            break
    assert pages == [ids[:3], ids[3:6], ids[6:]]


async def test_a_page_has_100_unless_told_otherwise_and_1000_at_most(emulator):
    _, client = emulator
    await asyncio.gather(*[client.upload(upload(wav(0.1))) for _ in range(101)])
    assert len((await client.search()).talk_ids) == 100
    assert len((await client.search(page_size=1000)).talk_ids) == 101
    for size in (1001, -1):
        error = await refused(client.search(page_size=size))
        assert "page_size" in violations(error)


async def test_a_search_finds_10_000_talks_at_most(emulator):
    running, client = emulator
    template = (await fill(client, 1))[0]

    def copy():
        running._store._database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10010)"
            " INSERT INTO talk (talk_id, connection_id, fields, users, method, size, duration,"
            " truncated, created_at, modified_at) SELECT 't' || i, connection_id, fields, users,"
            " method, size, duration, truncated, created_at, modified_at FROM talk, n"
            " WHERE talk_id = ?",
            (template,),
        )

    await running._store._in_thread(copy)
    last = await client.search(page_size=1000, page_token="9500")
    assert (len(last.talk_ids), last.talks_count, last.next_page_token) == (500, 10_011, "")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"filters": [wire.Filter(key="userMeta.n")]}, "filters[0]"),
        (
            {"filters": [wire.Filter(key="userMeta.n", boolean_match=wire.BooleanFilter())]},
            "filters[0]",
        ),
        ({"filters": [match("userMeta.n", "1"), match("n", "1")]}, "filters[1].key"),
        ({"filters": [match("userMeta.", "1")]}, "filters[0].key"),
        ({"filters": [match("userMeta.n")]}, "filters[0].any_match.values"),
        ({"filters": [match("userMeta.n", "1")] * 101}, "filters"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "9" * 30}, "page_token"),
        ({"query": wire.Query(text="hello")}, "query"),
        ({"sort_data": wire.SortData()}, "sort_data"),
    ],
)
async def test_what_the_emulator_cannot_search_for_is_refused_not_ignored(
    emulator, request_, field
):
    _, client = emulator
    error = await refused(client.search(**request_))
    assert error.code() is INVALID
    assert field in violations(error)


async def test_get_tells_of_a_talk_what_settles_a_doubt(emulator):
    running, client = emulator
    fields = {"upload_key": "7", "имя": "Анна"}
    talk_id = await client.upload(upload(wav(2.0), talk=metadata(fields=fields)))
    [talk] = await client.get("unknown", talk_id)
    [stored] = running.control.talks()
    assert (talk.id, talk.connection_id) == (talk_id, "demo")
    assert {field.name: field.value for field in talk.talk_fields} == fields
    assert talk.created_at.ToNanoseconds() == stored.created_at_ns
    assert talk.modified_at.ToNanoseconds() == stored.modified_at_ns
    assert talk.conversation_statistics.conversation_boundaries.duration_seconds == 2
    state = wire.ProcessingState.PROCESSING_STATE_SUCCESS
    assert talk.talk_state.processing_state == state


async def test_get_leaves_out_what_is_not_there_and_takes_100_ids(emulator):
    _, client = emulator
    [talk_id] = await fill(client, 1)
    unknown = [f"unknown-{number}" for number in range(100)]
    assert [talk.id for talk in await client.get(talk_id, *unknown[:99])] == [talk_id]
    for ids in ([talk_id, *unknown], []):
        assert "talk_ids" in violations(await refused(client.get(*ids)))


async def test_search_lags_behind_and_get_does_not(emulator):
    """Fault 29: Search lags."""
    running, client = emulator
    running.control.faults = Faults(search_lag=1.0)
    [talk_id] = await fill(client, 1)
    assert (await client.search()).talk_ids == []
    assert len(await client.get(talk_id)) == 1
    running.control.faults = Faults(search_lag=0.5)
    await asyncio.sleep(0.6)
    assert (await client.search()).talk_ids == [talk_id]


async def test_search_and_get_fail_on_purpose(emulator):
    """Fault 29: Search fails."""
    running, client = emulator
    running.control.faults = Faults(search_unavailable=1)
    for call in (client.search(), client.get("x")):
        assert (await refused(call)).code() is grpc.StatusCode.UNAVAILABLE
    assert await client.upload()
    running.control.faults = Faults(search_unavailable=0.5, seed=3)
    codes = set()
    for _ in range(20):
        try:
            await client.search()
            codes.add("OK")
        except grpc.aio.AioRpcError as error:
            codes.add(error.code().name)
    assert codes == {"OK", "UNAVAILABLE"}


async def test_two_hits_are_two_talks(emulator):
    """Fault 29: two hits for one key."""
    _, client = emulator
    ids = [await client.upload(upload(talk=metadata(fields={"key": "k"}))) for _ in range(2)]
    assert (await client.search(filters=[match("userMeta.key", "k")])).talk_ids == ids


async def test_the_fields_of_a_connection_are_learned_from_a_talk(emulator):
    emulator, client = emulator
    fields = {"date": "2026-03-27T09:25:17+03:00", "direction_outgoing": "true", "ticket.id": "7"}
    talk_id = await client.upload(upload(wav(0.1), talk=metadata("demo", fields)))
    endpoint = Endpoint.parse(emulator.address, ca_file=emulator.ca_file)
    learned = await learn_fields("demo", talk_id, endpoint, ApiKey(API_KEY))
    assert learned == {
        "date": FieldType.DATE,
        "direction_outgoing": FieldType.BOOLEAN,
        "ticket.id": FieldType.STRING,
    }
    with pytest.raises(ConfigError, match="no talk"):
        await learn_fields("demo", "nobody's", endpoint, ApiKey(API_KEY))
    with pytest.raises(ConfigError, match="cannot be read"):
        await learn_fields("unknown", talk_id, endpoint, ApiKey(API_KEY))
    with pytest.raises(Unauthorized):
        await learn_fields("demo", talk_id, endpoint, ApiKey("wrong"))
