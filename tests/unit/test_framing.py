"""Requests framed by hand are the requests that protobuf would have made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sink_samples import sample

from batch_uploader.core.model import AudioInfo, Container, Metadata, Role, User
from batch_uploader.sinks.speechsense import framing, wire

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
FIELDS = st.dictionaries(TEXT, TEXT, max_size=4)
METADATA = st.builds(
    Metadata,
    FIELDS,
    st.lists(st.builds(User, TEXT, st.sampled_from(Role), FIELDS), max_size=3).map(tuple),
)
AUDIO = st.builds(
    AudioInfo,
    st.sampled_from(Container),
    st.integers(1, 8),
    st.integers(8000, 48000),
    st.just(1.0),
)
# Around the lengths where a length needs one more byte, and the empty one.
CONTENT = st.binary(max_size=300) | st.sampled_from([127, 128, 16_383, 16_384, 70_000]).map(bytes)


def expected_metadata(recording, stamp_field):
    message = wire.TalkMetadata(connection_id=recording.connection_id)
    message.fields.update(recording.metadata.fields)
    if stamp_field is not None:
        message.fields[stamp_field] = recording.key
    for user in recording.metadata.users:
        role = wire.UserRole.Value(f"USER_ROLE_{user.role.name}")
        message.users.add(id=user.id, role=role, fields=dict(user.fields))
    return message


def expected_audio(audio):
    message = wire.AudioMetadata()
    if audio.container is Container.RAW:
        message.raw_audio.audio_encoding = 1
        message.raw_audio.sample_rate_hertz = audio.sample_rate
        message.raw_audio.audio_channel_count = audio.channels
    else:
        kind = wire.ContainerAudio.ContainerAudioType.Value(
            f"CONTAINER_AUDIO_TYPE_{audio.container.name}"
        )
        message.container_audio.container_audio_type = kind
    return message


@given(metadata=METADATA, stamp_field=st.none() | TEXT)
def test_the_talk_is_what_the_recording_says(metadata, stamp_field):
    recording = sample(b"x", metadata=metadata)
    parsed = wire.TalkMetadata.FromString(framing.talk_metadata(recording, stamp_field))
    assert parsed == expected_metadata(recording, stamp_field)


@given(audio=AUDIO)
def test_the_audio_is_what_was_found(audio):
    parsed = wire.AudioMetadata.FromString(framing.audio_metadata(audio))
    assert parsed == expected_audio(audio)


@given(metadata=METADATA, audio=AUDIO, content=CONTENT)
def test_one_message_parses_to_the_same_message(metadata, audio, content):
    recording = sample(content, metadata=metadata)
    parts = framing.talk_metadata(recording), framing.audio_metadata(audio)
    request = framing.whole_start(*parts, len(content)) + content
    message = wire.UploadTalkRequest(
        metadata=expected_metadata(recording, None),
        audio=wire.AudioRequest(
            audio_metadata=expected_audio(audio), audio_data=wire.AudioChunk(data=content)
        ),
    )
    assert wire.UploadTalkRequest.FromString(request) == message
    # Not a byte more or less than protobuf writes: nothing is repeated, nothing empty is written.
    assert len(request) == message.ByteSize()
    assert len(request) - len(content) < framing.OVERHEAD


@given(metadata=METADATA, audio=AUDIO, content=CONTENT)
def test_the_messages_of_a_stream_parse_to_the_same_messages(metadata, audio, content):
    recording = sample(content, metadata=metadata)
    sent = [
        framing.stream_start(framing.talk_metadata(recording)),
        framing.stream_format(framing.audio_metadata(audio)),
        framing.stream_chunk(content),
    ]
    messages = [
        wire.StreamTalkRequest(metadata=expected_metadata(recording, None)),
        wire.StreamTalkRequest(
            audio=wire.AudioStreamingRequest(audio_metadata=expected_audio(audio))
        ),
        wire.StreamTalkRequest(
            audio=wire.AudioStreamingRequest(chunk=wire.AudioChunk(data=content))
        ),
    ]
    assert [wire.StreamTalkRequest.FromString(part) for part in sent] == messages
    assert [len(part) for part in sent] == [message.ByteSize() for message in messages]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (128_000_000, b"\x80\xc0\x84\x3d")],
)
def test_lengths(number, expected):
    assert framing.varint(number) == expected
