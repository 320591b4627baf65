"""The emulator refuses what the service refuses, over TLS, and stores none of it."""

import grpc
import pytest
from support.emulator_client import (
    MP3,
    OGG,
    WAV,
    chunk,
    connected,
    container,
    encoded,
    metadata,
    raw,
    refused,
    running,
    stream,
    upload,
    violations,
    wav,
)

from batch_uploader.emulator import Connection
from batch_uploader.sinks.speechsense import wire

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def emulator(tmp_path):
    connections = (
        Connection("demo"),
        Connection("strict", frozenset({"date", "n"}), channels=2),
    )
    async with running(tmp_path, connections=connections) as (emulator, client):
        yield emulator, client
        assert emulator.control.talks() == []


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ((), "metadata is missing"),
        ((("authorization", ""),), "metadata is missing"),
        ((("authorization", "Basic emulator-key"),), "neither Api-Key nor Bearer"),
        ((("authorization", "Api-Key"),), "neither Api-Key nor Bearer"),
        ((("authorization", "Api-Key wrong"),), "unknown"),
        ((("authorization", "Bearer emulator-key"),), "unknown"),
    ],
)
async def test_without_the_right_credentials_nothing_is_done(emulator, headers, message):
    running, _ = emulator
    async with connected(running, headers=headers) as client:
        for call in (client.upload(), client.upload_as_stream(), client.search(), client.get("x")):
            error = await refused(call)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert message in error.details()


async def test_every_refusal_carries_the_ids_that_support_asks_for(emulator):
    _, client = emulator
    first, second = [
        dict((await refused(client.upload(upload(b"")))).trailing_metadata()) for _ in range(2)
    ]
    assert first["x-request-id"] != second["x-request-id"]
    assert first["x-server-trace-id"] != second["x-server-trace-id"]


async def test_an_unknown_connection(emulator):
    _, client = emulator
    talk = metadata("other")
    for call in (
        client.upload(upload(talk=talk)),
        client.upload_as_stream(stream(talk=talk)),
        client.search(connection_id="other"),
        client.get("x", connection_id="other"),
    ):
        error = await refused(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == "Connection other is not found"


async def test_a_missing_connection(emulator):
    _, client = emulator
    error = await refused(client.upload(upload(talk=metadata(""))))
    assert error.code() is INVALID
    assert violations(error) == {"metadata.connection_id": "is missing"}


async def test_every_field_at_fault_is_named_in_the_details_and_no_value_is(emulator):
    _, client = emulator
    fields = {"date": "ж" * 513, "operator": "secret", "n": "ж" * 512}
    users = (
        wire.UserMetadata(id="1", fields={"x": "y" * 1025}),
        wire.UserMetadata(),
        wire.UserMetadata(id="1"),
    )
    error = await refused(client.upload(upload(talk=metadata("strict", fields, users))))
    assert error.code() is INVALID
    assert violations(error) == {
        "metadata.fields[operator]": "the connection declares no such field",
        "metadata.fields[date]": "1026 bytes, 1024 at most are allowed",
        "metadata.users[0].fields[x]": "1025 bytes, 1024 at most are allowed",
        "metadata.users[1].id": "is missing",
        "metadata.users[2].id": "is another user's too",
    }
    assert error.details() == (
        "metadata.fields[operator]: the connection declares no such field (and 4 more)"
    )
    assert "secret" not in repr(error)


async def test_a_refusal_of_a_great_many_fields_still_arrives(emulator):
    _, client = emulator
    fields = {f"поле {number} " + "ж" * 500: "x" for number in range(50)}
    error = await refused(client.upload(upload(talk=metadata("strict", fields))))
    assert error.code() is INVALID
    assert error.details().startswith("metadata.fields[поле 0 ж")
    assert len(violations(error)) == 10


async def test_a_role_that_is_none(emulator):
    _, client = emulator
    users = (wire.UserMetadata(id="1", role=9),)
    error = await refused(client.upload(upload(talk=metadata(users=users))))
    assert violations(error) == {"metadata.users[0].role": "is not a role"}


BAD_AUDIO = {
    "empty": (b"", container(), "is empty"),
    "nothing declared": (wav(), wire.AudioMetadata(), "names neither"),
    "no type": (wav(), container(0), "no known type"),
    "a type from the future": (wav(), container(9), "no known type"),
    "WAV that is Ogg": (encoded("OGG", "OPUS"), container(WAV), "the bytes are ogg-opus"),
    "WAV that is MP3": (encoded("MP3", "MPEG_LAYER_III"), container(WAV), "the bytes are mp3"),
    "MP3 that is WAV": (wav(), container(MP3), "the bytes are wav"),
    "Ogg that is WAV": (wav(), container(OGG), "the bytes are wav"),
    "Ogg that is Vorbis": (encoded("OGG", "VORBIS"), container(OGG), "the bytes are something"),
    "MP3 that is text": (b"hello" * 999, container(MP3), "cannot be read"),
    "WAV that is FLAC": (encoded("FLAC", "PCM_16"), container(WAV), "the bytes are something"),
    "WAV of mu-law": (encoded("WAV", "ULAW"), container(), "0x0007 with 8 bits, not 16-bit PCM"),
    "WAV of A-law": (encoded("WAV", "ALAW"), container(), "0x0006 with 8 bits"),
    "WAV of GSM": (encoded("WAV", "GSM610"), container(), "0x0031"),
    "WAV of floats": (encoded("WAV", "FLOAT"), container(), "0x0003 with 32 bits"),
    "WAV of 24 bits": (encoded("WAV", "PCM_24"), container(), "with 24 bits"),
    "WAV of 8 bits": (wav(bits=8), container(), "with 8 bits"),
    "extensible WAV of floats": (encoded("WAVEX", "FLOAT"), container(), "0xfffe with 32 bits"),
    "WAV without audio": (wav(0), container(), "has a header and no audio"),
    "WAV cut off in its header": (wav()[:30], container(), "cut off"),
    "WAV without data": (wav()[:36], container(), "without a format or without audio"),
    "WAV too slow": (wav(rate=7999), container(), "7999 samples a second"),
    "WAV too fast": (wav(rate=48001), container(), "48001 samples a second"),
    "WAV without channels": (wav()[:22] + b"\0\0" + wav()[24:], container(), "without channels"),
    "raw of no encoding": (b"\0\0", raw(encoding=0), "is not LINEAR16_PCM"),
    "raw without a rate": (b"\0\0", raw(rate=0), "0 samples a second"),
    "raw without channels": (b"\0\0", raw(channels=0), "is not positive"),
    "raw of half a sample": (b"\0\0\0", raw(), "no whole samples of 2 bytes"),
}


@pytest.mark.parametrize("case", BAD_AUDIO)
async def test_audio_that_is_not_what_it_should_be(emulator, case):
    """Faults 44, 45 and 46, at the receiving end."""
    _, client = emulator
    audio, declared, message = BAD_AUDIO[case]
    for call in (
        client.upload(upload(audio, declared)),
        client.upload_as_stream(stream(audio, declared)),
    ):
        error = await refused(call)
        assert error.code() is INVALID
        assert message in error.details()


async def test_a_recording_of_more_than_four_hours(emulator):
    """Fault 51, at the receiving end."""
    _, client = emulator
    first, second = stream(b"", raw())
    # Four hours and a second, a minute at a time.
    minutes = [chunk(bytes(60 * 8000 * 2))] * (4 * 60)
    messages = [first, second, *minutes, chunk(bytes(2 * 8000))]
    error = await refused(client.upload_as_stream(messages))
    assert error.code() is INVALID
    assert "lasts 14401.0 s, 14400 s at most are allowed" in error.details()


async def test_another_number_of_channels_than_the_connection_wants(emulator):
    """Fault 53, at the receiving end."""
    _, client = emulator
    error = await refused(client.upload(upload(wav(), talk=metadata("strict"))))
    assert error.code() is INVALID
    assert "has 1 channels, the connection wants 2" in error.details()


async def test_a_message_over_128_mb_never_reaches_the_service(emulator):
    """Fault 24, at the receiving end."""
    _, client = emulator
    error = await refused(client.upload(upload(bytes(128 * 1024 * 1024)), deadline=60))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details().startswith("SERVER: Received message larger than max")


FIRST, SECOND, THIRD = list(stream())[:3]
ORDERS = {
    "nothing": ([], "metadata: is missing"),
    "audio first": ([SECOND, THIRD], "has to be the first message"),
    "chunk first": ([THIRD], "has to be the first message"),
    "metadata twice": ([FIRST, FIRST], "is expected here, not metadata"),
    "chunk before its metadata": ([FIRST, THIRD], "has to be the second message"),
    "audio metadata twice": ([FIRST, SECOND, SECOND], "is expected here, not audio_metadata"),
    "metadata at the end": ([FIRST, SECOND, THIRD, FIRST], "is expected here, not metadata"),
    "blank message": ([wire.StreamTalkRequest()], "has to be the first message"),
    "blank second": ([FIRST, wire.StreamTalkRequest()], "not a blank message"),
    "no audio metadata": ([FIRST], "ended before it"),
    "no chunk": ([FIRST, SECOND], "is empty"),
    "blank chunk": ([FIRST, SECOND, chunk(b"")], "is empty"),
}


@pytest.mark.parametrize("case", ORDERS)
async def test_a_stream_out_of_order(emulator, case):
    _, client = emulator
    messages, message = ORDERS[case]
    error = await refused(client.upload_as_stream(messages))
    assert error.code() is INVALID
    assert message in error.details()


async def test_a_stream_is_refused_before_its_end_where_its_beginning_is_wrong(emulator):
    _, client = emulator
    call = client.open_stream()
    await call.write(wire.StreamTalkRequest(metadata=metadata("other")))
    # Neither finished nor cancelled by us.
    assert await call.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "method", [wire.UPLOAD, wire.UPLOAD_TEXT, wire.SEARCH, wire.GET, wire.UPLOAD_AS_STREAM]
)
async def test_bytes_that_are_no_message(emulator, method):
    _, client = emulator
    error = await refused(client.any(method, b"\xff\xff\xff"))
    assert error.code() is INVALID
    assert "The request is not a yandex.cloud.speechsense.v1." in error.details()


@pytest.mark.parametrize("method", [wire.UPLOAD_BADGE, wire.GET_OPERATION, "/other.Service/Do"])
async def test_methods_that_are_not_there(emulator, method):
    running, client = emulator
    error = await refused(client.any(method))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert running.control.requests[method.rpartition("/")[2]] == 1


def text(messages, **options):
    users = (wire.UserMetadata(id="1", role=wire.UserRole.USER_ROLE_CLIENT),)
    content = wire.TextContent(messages=messages)
    return wire.UploadTextRequest(metadata=metadata(users=users), text_content=content, **options)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "text_content.messages"),
        ([wire.Message(user_id="2")], "text_content.messages[0].user_id"),
        ([wire.Message(user_id="1")], "text_content.messages[0].timestamp"),
        (
            [wire.Message(user_id="1", timestamp=wire.Timestamp(seconds=1))],
            "text_content.messages[0].text",
        ),
    ],
)
async def test_a_chat_without_words_or_speakers(emulator, messages, field):
    _, client = emulator
    error = await refused(client.upload_text(text(messages)))
    assert error.code() is INVALID
    assert field in violations(error)


async def test_an_update_of_a_talk_that_is_not_there(emulator):
    _, client = emulator
    error = await refused(client.upload(upload(b"", talk_id="nobody")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "Talk nobody is not found"
