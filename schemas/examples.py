"""Examples of every record, as JSON files a person can read; bytes columns as hexadecimal text."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files
from typing import Any

from schemas import records
from schemas.files import avro_schemas


def examples() -> dict[tuple[str, int], dict[str, object]]:
    """Every example by (record, version) and file name, as records of the contract."""
    found: dict[tuple[str, int], dict[str, object]] = {}
    for folder in (files(__name__.partition(".")[0]) / "examples").iterdir():
        record, _, version = folder.name.partition(".v")
        schema = avro_schemas()[record, int(version)]
        found[record, int(version)] = {
            path.name: _from_json(schema, json.loads(path.read_text("utf-8"))) for path in folder.iterdir()
        }
    return found


def _from_json(schema: dict[str, Any], fields: dict[str, Any]) -> object:
    record_type = getattr(records, schema["name"])
    types = {entry["name"]: entry["type"] for entry in schema["fields"]}
    known = {field.name for field in dataclasses.fields(record_type)}
    if unknown := set(fields) - known:
        msg = f"example of {schema['name']} has unknown fields {sorted(unknown)}"
        raise ValueError(msg)
    return record_type(**{name: _value(types[name], value) for name, value in fields.items()})


def _value(kind: Any, value: Any) -> Any:
    if kind == "bytes":
        return bytes.fromhex(value)
    if isinstance(kind, dict) and kind["type"] == "array":
        items = kind["items"]
        if isinstance(items, dict) and items["type"] == "record":
            return tuple(_from_json(items, item) for item in value)
        return tuple(value)
    return value
