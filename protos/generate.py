"""Writes anew what is made from the definitions beside this script.

    python protos/generate.py            writes
    python protos/generate.py --check    writes nothing; names what is stale and exits 1

The output depends on the definitions alone: not on where they lie, nor on the machine. It is the
compiled descriptors, which the package turns into classes when it is imported, and a stub that
tells type checkers what those classes look like.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

PROTOS = Path(__file__).resolve().parent
WIRE = PROTOS.parent / "batch_uploader/sinks/speechsense/wire"
GOOGLES = "google/protobuf/"
"""Where the types that protobuf ships are; they come with the compiler."""

MIXINS = ("Any", "Duration", "FieldMask", "Timestamp")
"""Those of protobuf's own types that have methods of their own."""

SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_UINT32: "int",
    FieldDescriptor.CPPTYPE_UINT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
}

HEADER = '''\
# Made by protos/generate.py from the definitions beside it. Do not edit.

import datetime as _datetime
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Literal as _Literal, TypeVar as _TypeVar, final as _final

from google.protobuf.descriptor import Descriptor as _Descriptor, EnumDescriptor as _EnumDescriptor
from google.protobuf.internal import well_known_types as _mixins
from google.protobuf.internal.containers import (
    RepeatedCompositeFieldContainer as _Messages,
    RepeatedScalarFieldContainer as _Scalars,
    ScalarMap as _ScalarMap,
)
from google.protobuf.message import Message as _Message

_E = _TypeVar("_E")

class _Enum(type):
    """An enum is one object that names its values; the values are plain integers."""

    DESCRIPTOR: _EnumDescriptor
    def Name(cls, number: int) -> str: ...
    def Value(cls: type[_E], name: str) -> _E: ...
    def keys(cls) -> list[str]: ...
    def values(cls: type[_E]) -> list[_E]: ...
    def items(cls: type[_E]) -> list[tuple[str, _E]]: ...
'''


def main() -> int:
    """Writes or checks; answers with the exit code."""
    parser = argparse.ArgumentParser(description="Writes anew what is made from the definitions.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it is stale")
    check = parser.parse_args().check
    stale = 0
    for path, content in outputs().items():
        if path.is_file() and path.read_bytes() == content:
            continue
        stale += 1
        print(f"{path.relative_to(PROTOS.parent).as_posix()} {'is stale' if check else 'written'}")
        if not check:
            path.write_bytes(content)
    return 1 if check and stale else 0


def outputs() -> dict[Path, bytes]:
    """What every generated file should hold."""
    files = compiled()
    return {
        WIRE / "descriptors.binpb": files.SerializeToString(deterministic=True),
        WIRE / "messages.pyi": "\n".join(stub(files)).encode(),
    }


def compiled() -> FileDescriptorSet:
    """The descriptors of all definitions and of what they import, each after those it imports."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "descriptors.binpb"
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_imports"]
        command = [*protoc, f"--descriptor_set_out={out}", *sources]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
        if code:
            sys.exit(code)
        files = FileDescriptorSet.FromString(out.read_bytes())
    needed = {
        field.type_name
        for file in files.file
        if not file.name.startswith(GOOGLES)
        for message in messages_in(file.message_type)
        for field in message.field
    }
    for file in files.file:
        trim(file, needed)
    return files


def messages_in(messages: Iterable[DescriptorProto]) -> Iterator[DescriptorProto]:
    """The messages and those nested in them, at any depth."""
    for message in messages:
        yield message
        yield from messages_in(message.nested_type)


def trim(file: FileDescriptorProto, needed: set[str]) -> None:
    """Takes away what changes with the compiler but not with the wire.

    That is: other languages' options and those of protobuf's own types that no definition uses.
    """
    file.ClearField("options")
    if file.name.startswith(GOOGLES):
        kept = [m for m in file.message_type if f".{file.package}.{m.name}" in needed]
        del file.message_type[:]
        file.message_type.extend(kept)


def stub(files: FileDescriptorSet) -> Iterator[str]:
    """The lines of the stub."""
    pool = DescriptorPool()
    seen: set[str] = set()
    yield HEADER
    for serialized in files.file:
        pool.Add(serialized)
        file: FileDescriptor = pool.FindFileByName(serialized.name)
        names = {*file.message_types_by_name, *file.enum_types_by_name}
        if seen & names:
            sys.exit(f"{file.name}: names are taken by another file: {sorted(seen & names)}")
        seen |= names
        yield f"# {file.name}"
        yield ""
        for enum in file.enum_types_by_name.values():
            yield from enum_stub(enum)
            yield ""
        for message in file.message_types_by_name.values():
            yield from message_stub(message)
            yield ""


def enum_stub(enum: EnumDescriptor) -> Iterator[str]:
    """A class whose attributes are the values."""
    yield f"class {enum.name}(int, metaclass=_Enum):"
    for value in enum.values:
        yield f"    {value.name}: _ClassVar[{python_name(enum)}]"


def message_stub(message: Descriptor) -> Iterator[str]:
    """A message's class with what is nested in it."""
    bases = "_Message"
    if message.file.name.startswith(GOOGLES) and message.name in MIXINS:
        bases += f", _mixins.{message.name}"
    yield "@_final"
    yield f"class {message.name}({bases}):"
    yield from indented(body(message))


def body(message: Descriptor) -> Iterator[str]:
    """The members of a message's class."""
    yield "DESCRIPTOR: _Descriptor"
    for enum in message.enum_types:
        yield from enum_stub(enum)
        for value in enum.values:
            yield f"{value.name}: _ClassVar[{python_name(enum)}]"
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from message_stub(nested)
    for field in message.fields:
        if field.message_type is None and not field.is_repeated:
            yield f"{field.name}: {element(field)}"
        else:
            yield "@property"
            yield f"def {field.name}(self) -> {read(field)}: ..."
    if message.fields:
        yield "def __init__("
        yield "    self,"
        yield "    *,"
        for field in message.fields:
            yield f"    {field.name}: {written(field)} | None = ...,"
        yield ") -> None: ..."
        yield from questions(message)


def questions(message: Descriptor) -> Iterator[str]:
    """The methods that take the name of a field, each with the names that it takes."""
    present = [field.name for field in message.fields if field.has_presence]
    oneofs = [oneof.name for oneof in message.oneofs]
    members = [field.name for oneof in message.oneofs for field in oneof.fields]
    fields = [field.name for field in message.fields]
    if present:
        yield f"def HasField(self, field_name: {literal(present + oneofs)}) -> bool: ..."
    if oneofs:
        answer = f"{literal(members)} | None"
        yield f"def WhichOneof(self, oneof_group: {literal(oneofs)}) -> {answer}: ..."
    yield f"def ClearField(self, field_name: {literal(fields + oneofs)}) -> None: ..."


def read(field: FieldDescriptor) -> str:
    """What a field that is a message or repeated gives."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return f"_ScalarMap[{element(key)}, {element(value)}]"
    if field.is_repeated:
        return f"{'_Scalars' if field.message_type is None else '_Messages'}[{element(field)}]"
    return element(field)


def written(field: FieldDescriptor) -> str:
    """What the constructor takes for a field."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return f"_Mapping[{element(key)}, {element(value)}]"
    if field.is_repeated:
        return f"_Iterable[{element(field)}]"
    if element(field) == "Timestamp":
        return "Timestamp | _datetime.datetime"
    return element(field)


def element(field: FieldDescriptor) -> str:
    """The type of a field's value, or of each one if it is repeated."""
    if field.message_type is not None:
        return python_name(field.message_type)
    if field.enum_type is not None:
        return python_name(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return SCALARS.get(field.cpp_type, "str")


def python_name(declared: Descriptor | EnumDescriptor) -> str:
    """The name in Python: the classes that it is nested in, but no package."""
    return declared.full_name.removeprefix(f"{declared.file.package}.")


def literal(names: Iterable[str]) -> str:
    """A type that is one of the names."""
    return f"_Literal[{', '.join(repr(name) for name in names)}]"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines one level deeper."""
    return (f"    {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
