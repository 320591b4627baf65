"""The messages behave as protobuf's own do: types with methods, enums, fields unknown to us."""

import copy
import datetime as dt
import pickle

import pytest
from google.protobuf import descriptor_pool, json_format, timestamp_pb2

from batch_uploader.sinks.speechsense import wire

MOMENT = dt.datetime(2025, 4, 24, 11, 34, 19, 250_000, tzinfo=dt.UTC)


def test_a_timestamp_speaks_datetime():
    message = wire.Message(timestamp=MOMENT)
    assert message.timestamp.ToDatetime(dt.UTC) == MOMENT
    message.timestamp.FromDatetime(MOMENT + dt.timedelta(seconds=1))
    assert message.timestamp.ToJsonString() == "2025-04-24T11:34:20.250Z"


def test_a_duration_speaks_timedelta():
    info = wire.RetryInfo()
    info.retry_delay.FromTimedelta(dt.timedelta(seconds=1.5))
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (1, 500_000_000)


def test_an_any_holds_our_messages():
    operation = wire.Operation()
    operation.metadata.Pack(wire.UploadBadgeMetadata(badge_id="b"))
    unpacked = wire.UploadBadgeMetadata()
    assert operation.metadata.Is(wire.UploadBadgeMetadata.DESCRIPTOR)
    assert operation.metadata.Unpack(unpacked)
    assert unpacked.badge_id == "b"
    assert not operation.metadata.Unpack(wire.UploadBadgeResponse())


def test_json_resolves_an_any_by_our_pool():
    status = wire.Status(code=3)
    violation = wire.BadRequest.FieldViolation(field="metadata.fields", description="no date")
    status.details.add().Pack(wire.BadRequest(field_violations=[violation]))
    assert json_format.MessageToDict(status, descriptor_pool=wire.POOL)["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "metadata.fields", "description": "no date"}],
        }
    ]


def test_a_field_mask_and_wrappers_are_there():
    mask = wire.GetTalkRequest(results_mask=wire.FieldMask(paths=["talk_state"])).results_mask
    assert mask.ToJsonString() == "talkState"
    number = wire.Filter(channel_number=wire.Int64Value(value=0))
    assert number.HasField("channel_number")


def test_an_enum_names_its_values():
    assert wire.UserRole.USER_ROLE_CLIENT == wire.UserRole.Value("USER_ROLE_CLIENT") == 2
    assert wire.UserRole.Name(3) == "USER_ROLE_BOT"
    wav = wire.ContainerAudio.ContainerAudioType.CONTAINER_AUDIO_TYPE_WAV
    assert wire.ContainerAudio.CONTAINER_AUDIO_TYPE_WAV == wav == 1


def test_what_we_do_not_know_passes_through():
    transcription = b"\x5a\x03\x0a\x01\x00"  # field 11
    state = b"\x9a\x01\x02\x08\x63"  # field 19, processing_state 99
    talk = wire.Talk.FromString(transcription + state)
    assert talk.talk_state.processing_state == 99
    assert sorted(wire.Talk.FromString(talk.SerializeToString()).SerializeToString()) == sorted(
        transcription + state
    )


def test_messages_can_be_copied_and_pickled():
    violation = wire.BadRequest.FieldViolation(field="f")
    for message in (wire.Message(timestamp=MOMENT), wire.BadRequest(field_violations=[violation])):
        assert copy.deepcopy(message) == message
        assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301 - our own bytes


def test_a_class_says_where_it_is_from():
    assert wire.Talk.__module__ == wire.__name__
    assert repr(wire.Talk) == f"<class '{wire.__name__}.Talk'>"


def test_protobufs_own_types_are_of_another_class():
    ours = wire.Message(timestamp=MOMENT).timestamp
    theirs = timestamp_pb2.Timestamp()
    with pytest.raises(TypeError):
        theirs.CopyFrom(ours)
    theirs.ParseFromString(ours.SerializeToString())
    assert theirs.ToDatetime(dt.UTC) == MOMENT


def test_the_pool_is_not_the_process_wide_one():
    assert wire.POOL is not descriptor_pool.Default()
    assert wire.POOL.FindMessageTypeByName(wire.Talk.DESCRIPTOR.full_name) is wire.Talk.DESCRIPTOR
