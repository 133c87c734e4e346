"""The schema files of this package, as parsed JSON."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

_SCHEMA_FILE = re.compile(r"(?P<record>[a-z_]+)\.v(?P<version>\d+)\.avsc")


def package_folder(name: str) -> Traversable:
    """A folder or file of this package."""
    return files(__name__.partition(".")[0]) / name


@cache
def avro_schemas() -> dict[tuple[str, int], dict[str, Any]]:
    """Every schema by (record, version), for example ("fault_request", 1)."""
    schemas = {}
    for path in package_folder("avsc").iterdir():
        if match := _SCHEMA_FILE.fullmatch(path.name):
            schemas[match["record"], int(match["version"])] = json.loads(path.read_text("utf-8"))
    return dict(sorted(schemas.items()))


@cache
def newest_schemas() -> dict[str, dict[str, Any]]:
    """The newest schema of every record: what is written now, and what all versions are read as."""
    return {record: schema for (record, _), schema in avro_schemas().items()}


def schema_of(record_type: type) -> dict[str, Any]:
    """The schema that a record is written by; raises as `record_name`."""
    return newest_schemas()[record_name(record_type)]


def record_name(record_type: type) -> str:
    """The name of a record in the contract, for example "fault_request" of `FaultRequest`.

    Raises:
        KeyError: it is no record of the contract.
    """
    return _record_names()[record_type.__name__]


@cache
def _record_names() -> dict[str, str]:
    return {schema["name"]: record for record, schema in newest_schemas().items()}


@cache
def topic_files() -> dict[str, dict[str, Any]]:
    """The content of every file in `topics/`, by the name of the topic."""
    found = {
        path.name.removesuffix(".toml"): tomllib.loads(path.read_text("utf-8"))
        for path in package_folder("topics").iterdir()
        if path.name.endswith(".toml")
    }
    return dict(sorted(found.items()))


@cache
def schema_ids() -> dict[tuple[str, int], int]:
    """The fixed id on the wire of every (record, version)."""
    ids = {}
    for name, schema_id in tomllib.loads(package_folder("ids.toml").read_text("utf-8")).items():
        record, _, version = name.partition(".v")
        ids[record, int(version)] = int(schema_id)
    return ids
