"""Our schemas as fastavro takes them, and what their fields are.

Logical types are for readers elsewhere: here instants stay integer microseconds, so they are stripped before
parsing (they never change the bytes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fastavro


def parsed(schema: Mapping[str, Any]) -> Any:
    """A schema ready to read and write by."""
    return fastavro.parse_schema(_without_logical_types(schema), _force=True)


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, Mapping):
        if "logicalType" in node:
            return node["type"]
        return {key: _without_logical_types(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_logical_types(value) for value in node]
    return node


def is_array(entry: Mapping[str, Any]) -> bool:
    """Whether a field is an array."""
    return isinstance(entry["type"], Mapping) and entry["type"].get("type") == "array"


def holds_records(entry: Mapping[str, Any]) -> bool:
    """Whether a field is an array of records."""
    items = entry["type"]["items"] if is_array(entry) else None
    return isinstance(items, Mapping) and items["type"] == "record"
