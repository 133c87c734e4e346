"""Message types of protobuf from a table of their fields, for formats of which we read a few fields only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, timestamp_pb2
from google.protobuf.message_factory import GetMessageClass

_FIELD = descriptor_pb2.FieldDescriptorProto
_KNOWN = (timestamp_pb2, duration_pb2)

Fields = Sequence[tuple[str, int, str]]
"""Name, number and type of each: a scalar, a name of the same tables, or `google.protobuf.Timestamp` and its
like; behind `repeated ` where there may be many."""


def message_types(
    package: str, messages: Mapping[str, Fields], enums: Mapping[str, Sequence[str]]
) -> dict[str, Callable[[], Any]]:
    """The classes of messages; what they hold beside these fields is passed over.

    Args:
        package: of no other types in this process.
        messages: by name.
        enums: their symbols by name, from 0.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto",
        package=package,
        syntax="proto3",
        dependency=[known.DESCRIPTOR.name for known in _KNOWN],
    )
    for name, symbols in enums.items():
        enum = file.enum_type.add(name=name)
        for number, symbol in enumerate(symbols):
            enum.value.add(name=symbol, number=number)
    for name, fields in messages.items():
        file.message_type.add(name=name).field.extend(
            _field(package, field, messages, enums) for field in fields
        )
    # A pool of its own: types of the same name elsewhere are none of this one's business.
    pool = descriptor_pool.DescriptorPool()
    for known in _KNOWN:
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _field(
    package: str,
    field: tuple[str, int, str],
    messages: Mapping[str, Fields],
    enums: Mapping[str, Sequence[str]],
) -> descriptor_pb2.FieldDescriptorProto:
    name, number, written = field
    kind = written.removeprefix("repeated ")
    label = _FIELD.LABEL_OPTIONAL if kind == written else _FIELD.LABEL_REPEATED
    found = _FIELD(name=name, number=number, label=label)
    if kind in enums:
        found.type, found.type_name = _FIELD.TYPE_ENUM, f".{package}.{kind}"
    elif kind in messages:
        found.type, found.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
    elif "." in kind:
        found.type, found.type_name = _FIELD.TYPE_MESSAGE, f".{kind}"
    else:
        found.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
    return found
