"""Turns the compiled descriptors of ``protos/`` into classes."""

from pathlib import Path
from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

POOL: Final = DescriptorPool()
"""Holds only these messages; the process's default pool is not changed."""


def load(module: str) -> dict[str, type[Message] | EnumTypeWrapper]:
    """Every top-level message and enum by its name, as a member of ``module``.

    Call it once for each module.
    """
    descriptors = Path(__file__).with_name("descriptors.binpb").read_bytes()
    types: dict[str, type[Message] | EnumTypeWrapper] = {}
    for serialized in FileDescriptorSet.FromString(descriptors).file:
        POOL.Add(serialized)
        file = POOL.FindFileByName(serialized.name)
        for name, enum in file.enum_types_by_name.items():
            types[name] = EnumTypeWrapper(enum)
        for name, message in file.message_types_by_name.items():
            types[name] = _message_class(message, module)
    return types


def _message_class(message: Descriptor, module: str) -> type[Message]:
    made = GetMessageClass(message)
    made.__module__ = module
    for nested in message.nested_types:
        # The C implementation of protobuf does this itself, the Python one does not.
        setattr(made, nested.name, _message_class(nested, module))
    return made
