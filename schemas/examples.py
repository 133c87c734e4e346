"""Examples of every version of every record, as JSON files a person can read; bytes as hexadecimal text.

`golden/` holds the bytes that each gives: they never change, or old logs can't be read any more.
`python -m schemas.examples` writes those that are missing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro

from schemas.codec import decode, framing
from schemas.fields import is_array, parsed
from schemas.files import avro_schemas, package_folder, schema_ids

Version = tuple[str, int]
"""Name of a record, and which version of it."""


def examples() -> dict[Version, dict[str, object]]:
    """Every example by (record, version) and name, as records of the newest version."""
    return {
        version: {name: decode(value) for name, value in found.items()}
        for version, found in example_bytes().items()
    }


def example_bytes() -> dict[Version, dict[str, bytes]]:
    """The framed bytes of every example, written by the schema of its own version alone."""
    return {
        version: {
            path.name.removesuffix(".json"): _written(version, json.loads(path.read_text("utf-8")))
            for path in folder.iterdir()
        }
        for version, folder in _folders("examples").items()
    }


def golden_bytes() -> dict[Version, dict[str, bytes]]:
    """The same bytes as they were when the version was made."""
    return {
        version: {
            path.name.removesuffix(".hex"): bytes.fromhex(path.read_text("ascii"))
            for path in folder.iterdir()
        }
        for version, folder in _folders("golden").items()
    }


def _folders(name: str) -> dict[Version, Any]:
    found = {}
    for folder in package_folder(name).iterdir():
        record, _, version = folder.name.partition(".v")
        found[record, int(version)] = folder
    return found


def _written(version: Version, fields: Mapping[str, Any]) -> bytes:
    schema = avro_schemas()[version]
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed(schema), _avro_fields(schema, fields))
    return framing(schema_ids()[version]) + buffer.getvalue()


def _avro_fields(schema: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    types = {entry["name"]: entry["type"] for entry in schema["fields"]}
    if unknown := set(fields) - set(types):
        msg = f"example of {schema['name']} has unknown fields {sorted(unknown)}; expected {sorted(types)}"
        raise ValueError(msg)
    return {name: _avro_value(types[name], value) for name, value in fields.items()}


def _avro_value(kind: Any, value: Any) -> Any:
    if kind == "bytes":
        return bytes.fromhex(value)
    if is_array({"type": kind}):
        return [_avro_value(kind["items"], item) for item in value]
    if isinstance(kind, Mapping) and kind["type"] == "record":
        return _avro_fields(kind, value)
    return value


def _write_missing(folder: Path) -> None:
    for (record, version), found in example_bytes().items():
        for name, value in found.items():
            path = folder / f"{record}.v{version}" / f"{name}.hex"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{value.hex()}\n", "ascii")


if __name__ == "__main__":
    _write_missing(Path(__file__).with_name("golden"))
