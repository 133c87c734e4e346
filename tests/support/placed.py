"""Hosts and containers for tests of placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from microservo.domain.geography import unit_vectors
from microservo.domain.placement import Containers, Hosts

GB = 1e9
USUAL: Mapping[str, Any] = {
    "latitude": 0.0,
    "longitude": 0.0,
    "is_edge": False,
    "is_node": True,
    "is_ready": True,
    "is_running": True,
    "cpu_percent": 10.0,
    "cores": 4.0,
    "memory_total": 16 * GB,
    "memory_available": 12 * GB,
    "disk_available": 100 * GB,
    "reserved_memory": 0.0,
    "reserved_cores": 0.0,
    "reserved_disk": 0.0,
}


def host(name: str, **differs: Any) -> dict[str, Any]:
    """A ready node of the cloud with much room at 0 0, but for what differs."""
    return {"name": name, **USUAL, **differs}


def inactive(name: str, **differs: Any) -> dict[str, Any]:
    """A host that is off and nobody measures."""
    unknown = dict.fromkeys(("cpu_percent", "memory_available", "disk_available"), np.nan)
    is_not = dict.fromkeys(("is_node", "is_ready", "is_running"), False)
    return host(name, **{**unknown, **is_not, **differs})


def hosts_of(rows: Sequence[dict[str, Any]]) -> Hosts:
    names = tuple(row["name"] for row in rows)
    columns = {name: column(name, rows) for name in USUAL}
    x, y, z = unit_vectors(columns["latitude"], columns["longitude"])
    by_name = {name: row for row, name in enumerate(names)}
    return Hosts(names=names, rows=by_name, x=x, y=y, z=z, **columns)


def containers_of(rows: Sequence[dict[str, Any]]) -> Containers:
    """Containers of 1 GB, half a processor and 10 requests a second each, but for what differs."""
    usual = {
        "cpu_cores": 0.5,
        "memory_bytes": GB,
        "disk_bytes": 0.0,
        "requests_per_s": 10.0,
        "latitude": 0.0,
        "longitude": 0.0,
        "can_move": True,
    }
    full = [{**usual, **row} for row in rows]
    names = tuple(row["name"] for row in full)
    return Containers(names=names, **{name: column(name, full) for name in usual})


def column(name: str, rows: Sequence[dict[str, Any]]) -> Any:
    return np.array([row[name] for row in rows], bool if name.startswith(("is_", "can_")) else float)
