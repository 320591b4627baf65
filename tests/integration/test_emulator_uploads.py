"""What the emulator accepts, what it then keeps, and how it gives it back."""

import asyncio
import hashlib
import json
import sqlite3
import stat

import grpc
import pytest
from support.emulator_client import (
    MP3,
    OGG,
    connected,
    container,
    encoded,
    metadata,
    raw,
    refused,
    running,
    stream,
    upload,
    wav,
)

from batch_uploader.core.errors import ConfigError
from batch_uploader.core.model import Role, User
from batch_uploader.emulator import Connection, Emulator, EmulatorOptions, stored_talks
from batch_uploader.sinks.speechsense import wire

GOOD_AUDIO = {
    "WAV": (wav(2.0), container(), 2.0),
    "WAV of two channels": (wav(2.0, channels=2), container(), 2.0),
    "extensible WAV": (encoded("WAVEX", "PCM_16", 2.0), container(), 2.0),
    "WAV whose recorder never finished it": (wav(2.0, length=0xFFFFFFFF), container(), 2.0),
    "WAV of no announced length": (wav(2.0, length=0), container(), 2.0),
    "WAV that breaks off": (wav(2.0, length=99_999), container(), 2.0),
    "Ogg Opus": (encoded("OGG", "OPUS", 2.0), container(OGG), 2.0),
    "MP3": (encoded("MP3", "MPEG_LAYER_III", 2.0), container(MP3), 2.0),
    "raw": (bytes(2 * 2 * 8000 * 2), raw(channels=2), 2.0),
}


@pytest.fixture
async def emulator(tmp_path):
    async with running(tmp_path, keep_audio=tmp_path / "audio") as (emulator, client):
        yield emulator, client


@pytest.mark.parametrize("case", GOOD_AUDIO)
async def test_good_audio_is_stored_whole_whichever_way_it_comes(emulator, case, tmp_path):
    running, client = emulator
    audio, declared, duration = GOOD_AUDIO[case]
    ids = [
        await client.upload(upload(audio, declared)),
        await client.upload_as_stream(stream(audio, declared, piece=1000)),
    ]
    talks = running.control.talks()
    assert [talk.talk_id for talk in talks] == ids
    assert [talk.method for talk in talks] == ["Upload", "UploadAsStream"]
    for talk in talks:
        assert talk.sha256 == hashlib.sha256(audio).digest()
        assert talk.size == len(audio)
        assert talk.duration == pytest.approx(duration, abs=0.2)  # MP3 pads
        assert not talk.truncated
        [kept] = (tmp_path / "audio").glob(f"{talk.talk_id}.*")
        assert kept.read_bytes() == audio


async def test_the_metadata_and_the_ids_of_a_request_are_stored(emulator):
    running, client = emulator
    users = (
        wire.UserMetadata(id="7", role=wire.UserRole.USER_ROLE_OPERATOR, fields={"name": "Анна"}),
        wire.UserMetadata(id="8"),
    )
    fields = {"date": "2025-04-24T14:34:19+03:00", "имя": "ж" * 512}
    headers = (("x-client-request-id", "try-1"), ("idempotency-key", "same-for-all"))
    await client.upload(upload(talk=metadata("demo", fields, users)), headers=headers)
    [talk] = running.control.talks()
    assert talk.connection_id == "demo"
    assert talk.fields == fields
    assert talk.users == (
        User("7", Role.OPERATOR, {"name": "Анна"}),
        User("8", Role.UNSPECIFIED, {}),
    )
    assert (talk.client_request_id, talk.idempotency_key) == ("try-1", "same-for-all")
    assert talk.created_at_ns == talk.modified_at_ns > 0


async def test_the_same_recording_twice_is_two_talks_whatever_its_idempotency_key(emulator):
    running, client = emulator
    headers = (("idempotency-key", "same"),)
    first, second = [await client.upload(headers=headers) for _ in range(2)]
    assert first != second
    assert len(running.control.talks()) == 2


async def test_requests_are_counted_by_method(emulator):
    running, client = emulator
    await client.upload()
    await client.upload_as_stream()
    await client.upload_as_stream()
    await client.search()
    assert running.control.requests == {"Upload": 1, "UploadAsStream": 2, "Search": 1}
    assert running.control.received == 3


async def test_a_declared_connection_takes_its_own_keys_and_channels(tmp_path):
    connections = [Connection("a", frozenset({"date", "name"}), 2), Connection("b")]
    async with running(tmp_path, connections=tuple(connections)) as (emulator, client):
        await client.upload(upload(wav(channels=2), talk=metadata("a", {"date": "x"})))
        await client.upload(upload(talk=metadata("b", {"anything": "x"})))
        assert [talk.connection_id for talk in emulator.control.talks()] == ["a", "b"]


async def test_new_metadata_for_a_talk_makes_no_new_talk_and_needs_no_audio(emulator):
    running, client = emulator
    talk_id = await client.upload(upload(talk=metadata(fields={"a": "1", "b": "2"})))
    [before] = running.control.talks()
    request = wire.UploadTalkRequest(
        metadata=metadata(fields={"b": "3"}, users=(wire.UserMetadata(id="7"),)), talk_id=talk_id
    )
    assert await client.upload(request) == talk_id
    [after] = running.control.talks()
    assert after.fields == {"b": "3"}
    assert after.users == (User("7", Role.UNSPECIFIED, {}),)
    assert (after.sha256, after.size, after.created_at_ns) == (
        before.sha256,
        before.size,
        before.created_at_ns,
    )
    assert after.modified_at_ns > before.modified_at_ns
    # Search follows.
    for key, value, count in (("a", "1", 0), ("b", "2", 0), ("b", "3", 1)):
        match = wire.AnyMatchFilter(values=[value])
        found = await client.search(filters=[wire.Filter(key=f"userMeta.{key}", any_match=match)])
        assert found.talks_count == count


async def test_a_chat_is_stored_and_its_metadata_updated(emulator):
    running, client = emulator
    users = (wire.UserMetadata(id="1"),)
    message = wire.Message(
        user_id="1",
        timestamp=wire.Timestamp(seconds=1_700_000_000),
        text=wire.TextPayload(text="Привет"),
    )
    content = wire.TextContent(messages=[message])
    talk_id = await client.upload_text(
        wire.UploadTextRequest(metadata=metadata(users=users), text_content=content)
    )
    update = wire.UploadTextRequest(metadata=metadata(fields={"x": "y"}), talk_id=talk_id)
    assert await client.upload_text(update) == talk_id
    [talk] = running.control.talks()
    assert (talk.method, talk.sha256, talk.fields) == ("UploadText", None, {"x": "y"})
    assert json.loads(talk.text) == {
        "messages": [
            {
                "user_id": "1",
                "timestamp": "2023-11-14T22:13:20Z",
                "text": {"text": "Привет"},
            }
        ]
    }


async def test_talks_are_there_after_a_restart(tmp_path):
    async with running(tmp_path) as (emulator, client):
        talk_id = await client.upload()
        port = emulator.address
    async with running(tmp_path, port=int(port.rpartition(":")[2])) as (emulator, client):
        assert emulator.address == port
        assert [talk.id for talk in await client.get(talk_id)] == [talk_id]
        await client.upload()
        assert len(emulator.control.talks()) == 2
    assert len(stored_talks(tmp_path / "talks.db")) == 2


async def test_the_store_and_the_keys_are_the_owners_alone(tmp_path):
    """Fault 67, for what the emulator keeps."""
    async with running(tmp_path, keep_audio=tmp_path / "audio") as (_, client):
        await client.upload()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        names = {path.name for path in files if path.parent.name != "audio"}
        assert {"talks.db", "ca.pem", "server.pem", "server-key.pem"} <= names
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize("content", [b"not a database at all", None])
async def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "talks.db"
    if content is None:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE other (x)")
        database.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="--store"):
        async with running(tmp_path):
            pass
    if content is not None:
        assert path.read_bytes() == before


async def test_a_store_in_a_folder_that_is_not_there(tmp_path):
    options = EmulatorOptions(store=tmp_path / "no" / "talks.db")
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with Emulator(options):
            pass


async def test_many_at_a_time_are_all_stored_before_they_are_answered(tmp_path):
    async with running(tmp_path) as (_, client):
        wanted = [str(number) for number in range(300)]

        async def one(number):
            talk_id = await client.upload(upload(wav(0.01), talk=metadata(fields={"n": number})))
            # Another connection to the file sees it at once.
            return talk_id, talk_id in await asyncio.to_thread(ids)

        def ids():
            return {talk.talk_id for talk in stored_talks(tmp_path / "talks.db")}

        answers = await asyncio.gather(*map(one, wanted))
    assert all(seen for _, seen in answers)
    talks = {talk.talk_id: talk.fields["n"] for talk in stored_talks(tmp_path / "talks.db")}
    assert [talks[talk_id] for talk_id, _ in answers] == wanted


async def test_a_full_disk_is_an_answer_and_the_server_goes_on(emulator):
    """Fault 6, at the receiving end: here the pages of the database are used up."""
    running, client = emulator
    store = running._store
    await store._in_thread(lambda: store._database.execute("PRAGMA max_page_count = 1"))
    error = await refused(client.upload(upload(talk=metadata(fields={"n": "x" * 1024}))))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "database or disk is full" in error.details()
    await store._in_thread(lambda: store._database.execute("PRAGMA max_page_count = 100000"))
    assert await client.upload()
    assert len(running.control.talks()) == 1


async def test_plaintext_works_too(tmp_path):
    async with running(tmp_path, tls_dir=None) as (emulator, client):
        assert emulator.ca_file is None
        assert await client.upload()


async def test_ipv6_loopback(tmp_path):
    async with running(tmp_path, host="::1") as (emulator, client):
        assert emulator.address.startswith("[::1]:")
        assert await client.upload()


async def test_a_client_that_does_not_know_the_ca_stays_out(tmp_path):
    """Fault 68, at the receiving end."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with (
        running(tmp_path / "one") as (emulator, _),
        running(tmp_path / "other") as (other, _),
    ):
        async with connected(emulator.address, other.ca_file) as client:
            error = await refused(client.upload())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert not emulator.control.requests
