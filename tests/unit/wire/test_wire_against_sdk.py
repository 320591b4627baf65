"""On the wire our messages are the vendor's: compared with the SDK, field by field and in bytes."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from batch_uploader.sinks.speechsense.wire import POOL, methods

TALK = "yandex.cloud.speechsense.v1"

LEFT_OUT = {
    f"{TALK}.Talk": {11, 12, 13, 14, 16, 17, 18, 20},
    f"{TALK}.analysis.ConversationStatistics": {2},
    "yandex.cloud.iam.v1.CreateIamTokenRequest": {1},
    "google.rpc.BadRequest.FieldViolation": {3, 4},
}
"""The fields that the SDK has and we do not need. One that is new there belongs here or in ours."""

SET = FileDescriptorSet.FromString(
    Path(methods.__file__).with_name("descriptors.binpb").read_bytes()
)
OURS = [POOL.FindFileByName(file.name) for file in SET.file]
for file in SET.file:
    importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
SDK = descriptor_pool.Default()


def with_nested(messages: dict[str, Descriptor]) -> Iterator[Descriptor]:
    for message in messages.values():
        if not message.GetOptions().map_entry:
            yield message
            yield from with_nested(message.nested_types_by_name)


MESSAGES = [message for file in OURS for message in with_nested(file.message_types_by_name)]
ENUMS = [enum for file in OURS for enum in file.enum_types_by_name.values()]
ENUMS += [enum for message in MESSAGES for enum in message.enum_types]
METHODS = [
    method
    for file in OURS
    for service in file.services_by_name.values()
    for method in service.methods
]
BRANCHES = range(max(len(oneof.fields) for message in MESSAGES for oneof in message.oneofs))

each_message = pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.full_name)


@each_message
def test_a_message_is_in_the_same_file_and_has_the_same_fields(message: Descriptor):
    theirs = SDK.FindMessageTypeByName(message.full_name)
    assert message.file.name == theirs.file.name
    left_out = LEFT_OUT.get(message.full_name, set())
    assert set(theirs.fields_by_number) - set(message.fields_by_number) == left_out
    for number, field in message.fields_by_number.items():
        assert described(field) == described(theirs.fields_by_number[number])


@pytest.mark.parametrize("enum", ENUMS, ids=lambda e: e.full_name)
def test_an_enum_has_the_same_values(enum: EnumDescriptor):
    theirs = SDK.FindEnumTypeByName(enum.full_name)
    assert enum.file.name == theirs.file.name
    assert numbers(enum) == numbers(theirs)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.full_name)
def test_a_method_has_the_same_types(method):
    service = SDK.FindServiceByName(method.containing_service.full_name)
    theirs = service.methods_by_name[method.name]
    assert service.file.name == method.containing_service.file.name
    for side in ("client_streaming", "server_streaming"):
        assert getattr(method, side) == getattr(theirs, side)
    for side in ("input_type", "output_type"):
        assert getattr(method, side).full_name == getattr(theirs, side).full_name


def test_the_paths_are_those_of_the_declared_methods():
    declared = {f"/{m.containing_service.full_name}/{m.name}" for m in METHODS}
    paths = [getattr(methods, name) for name in methods.__all__]
    assert set(paths) == declared
    assert len(paths) == len(declared)


def test_no_method_of_the_talk_service_is_left_out():
    name = f"{TALK}.TalkService"
    ours, theirs = POOL.FindServiceByName(name), SDK.FindServiceByName(name)
    assert set(ours.methods_by_name) == set(theirs.methods_by_name)


@each_message
def test_what_the_sdk_writes_we_read_and_give_back(message: Descriptor):
    for branch in BRANCHES:
        sent = filled(SDK.FindMessageTypeByName(message.full_name), branch)
        read = GetMessageClass(message).FromString(sent.SerializeToString())
        assert values(read, message) == values(sent, message)
        assert type(sent).FromString(read.SerializeToString()) == sent


@each_message
def test_what_we_write_the_sdk_reads_and_writes_in_the_same_bytes(message: Descriptor):
    for branch in BRANCHES:
        sent = filled(message, branch)
        written = sent.SerializeToString(deterministic=True)
        read = GetMessageClass(SDK.FindMessageTypeByName(message.full_name)).FromString(written)
        assert values(read, message) == values(sent, message)
        assert read.SerializeToString(deterministic=True) == written


def described(field: FieldDescriptor) -> dict[str, object]:
    return {
        "name": field.name,
        "json_name": field.json_name,
        "type": field.type,
        "is_repeated": field.is_repeated,
        "has_presence": field.has_presence,
        "message": field.message_type and field.message_type.full_name,
        "enum": field.enum_type and field.enum_type.full_name,
        "oneof": field.containing_oneof and field.containing_oneof.name,
    }


def numbers(enum: EnumDescriptor) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


def filled(message: Descriptor, branch: int) -> Message:
    """A message with every field set, at every depth; of each oneof the branch of that number."""
    made = GetMessageClass(message)()
    for field in message.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.fields[branch % len(oneof.fields)] is not field:
            continue
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            getattr(made, field.name).update({"дата": "1", "": "пусто"})
        elif field.is_repeated:
            getattr(made, field.name).extend([value(field, branch), value(field, branch + 1)])
        elif entry is not None:
            getattr(made, field.name).CopyFrom(value(field, branch))
        else:
            setattr(made, field.name, value(field, branch))
    return made


def value(field: FieldDescriptor, branch: int) -> object:
    """A value that tells the field from its neighbours, at the edge of what its type holds."""
    if field.message_type is not None:
        return filled(field.message_type, branch)
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return {
        FieldDescriptor.TYPE_STRING: f"{field.name} №{branch} 😀",
        FieldDescriptor.TYPE_BYTES: b"\x00\xff" + field.name.encode(),
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_INT32: -(2**31) + field.number,
        FieldDescriptor.TYPE_INT64: -(2**63) + field.number,
        FieldDescriptor.TYPE_DOUBLE: -1.1 * field.number,
    }[field.type]


def values(message: Message, known: Descriptor) -> dict[str, object]:
    """What a message holds in the fields that are known to us, without its class."""
    found: dict[str, object] = {}
    for field, held in message.ListFields():
        ours = known.fields_by_number.get(field.number)
        if ours is None:
            continue
        nested = ours.message_type
        if nested is None:
            found[field.name] = list(held) if field.is_repeated else held
        elif nested.GetOptions().map_entry:
            found[field.name] = dict(held)
        elif field.is_repeated:
            found[field.name] = [values(item, nested) for item in held]
        else:
            found[field.name] = values(held, nested)
    return found
