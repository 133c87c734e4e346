"""Hosts in columns, and which of them has room for one more container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from microservo.domain.telemetry import Float64
from microservo.errors import InvalidInput

CEILING_PERCENT: Final = 90.0
"""Of memory and processor; a host stays below it."""

Bools = NDArray[np.bool_]
Int8 = NDArray[np.int8]
Rows = NDArray[np.int64] | slice
ALL: Final = slice(None)

FITS, UNKNOWN, MEMORY, PROCESSOR, DISK = range(5)
"""Why a host has no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a container will take, 0 where it isn't known.

    Attributes:
        memory_bytes: memory that its service is expected to use.
        cpu_cores: processors that it is expected to keep busy.
        disk_bytes: what its image takes, where the host doesn't have it yet.
    """

    memory_bytes: float = 0.0
    cpu_cores: float = 0.0
    disk_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Hosts in columns of shape (hosts,). NaN in a measured column: nobody measured it.

    Attributes:
        names: unique.
        rows: the place of each name in the columns.
        latitude: degrees.
        longitude: degrees.
        x: of the unit vector of the place, as `unit_vectors` says; likewise `y` and `z`. Kept, since whoever
            looks for the nearest of thousands of hosts would compute them each time anew.
        is_edge: an edge host; otherwise one of the cloud.
        is_node: it is joined to the cluster.
        is_ready: it answers and takes containers: not down, paused or drained. Only looked at in nodes.
        is_running: the machine is on; one that isn't has to be started before it can be joined.
        cpu_percent: how busy its processors are, 0 to 100, all of them together.
        cores: how many it has.
        memory_total: bytes.
        memory_available: bytes.
        disk_available: bytes.
        reserved_memory: bytes for containers that are still starting and so can't be seen in what is
            measured; likewise `reserved_cores` and `reserved_disk`.
    """

    names: tuple[str, ...]
    rows: Mapping[str, int]
    latitude: Float64
    longitude: Float64
    x: Float64
    y: Float64
    z: Float64
    is_edge: Bools
    is_node: Bools
    is_ready: Bools
    is_running: Bools
    cpu_percent: Float64
    cores: Float64
    memory_total: Float64
    memory_available: Float64
    disk_available: Float64
    reserved_memory: Float64
    reserved_cores: Float64
    reserved_disk: Float64

    def __post_init__(self) -> None:
        for column in fields(self):
            length = len(getattr(self, column.name))
            if length != len(self.names):
                msg = f"column {column.name} has {length} rows for {len(self.names)} hosts; give one a host"
                raise InvalidInput(msg)
        is_place = (np.abs(self.latitude) <= 90) & (np.abs(self.longitude) <= 180)
        if not is_place.all():
            row = int(np.argmin(is_place))
            msg = (
                f"host {self.names[row]} is at latitude {self.latitude[row]:g}, longitude "
                f"{self.longitude[row]:g}; give degrees from -90 to 90 north and from -180 to 180 east"
            )
            raise InvalidInput(msg)

    def __len__(self) -> int:
        return len(self.names)

    def with_reservation(self, host: int, need: Need) -> Hosts:
        """The same with room kept on a host (its place in the columns) for a container that will start."""
        return replace(
            self,
            reserved_memory=_added(self.reserved_memory, host, need.memory_bytes),
            reserved_cores=_added(self.reserved_cores, host, need.cpu_cores),
            reserved_disk=_added(self.reserved_disk, host, need.disk_bytes),
        )


def room(hosts: Hosts, need: Need, rows: Rows = ALL) -> Int8:
    """Whether hosts have room, as FITS, or why not: UNKNOWN, MEMORY, PROCESSOR, DISK; shape (rows,).

    A host has room where all of these hold::

        (1 - (available - reserved - expected) / total) x 100   < 90     memory
        busy + (reserved + expected) / cores x 100              < 90     processors, busy in per cent of all
        available - reserved                                    >= image disk

    A ready node of which one of these was not measured has none. Other hosts are measured by nobody, so what
    is not known of them is taken to be enough, and all memory of one that is off to be available.

    usmanager divided how busy the processors are, a share of all, by their number once more, looked at no
    disk, and reserved nothing.

    Args:
        hosts: all there are.
        need: what the container takes.
        rows: places of those asked for in the columns; all by default.
    """
    is_node, is_running, total = hosts.is_node[rows], hosts.is_running[rows], hosts.memory_total[rows]
    # What is started will have all of its memory.
    available = np.where(is_running, hosts.memory_available[rows], total)
    memory = memory_forecast_percent(available - hosts.reserved_memory[rows], total, need.memory_bytes)
    added = hosts.reserved_cores[rows] + need.cpu_cores
    # One that is off is idle.
    busy = np.where(is_running, hosts.cpu_percent[rows], 0.0)
    processor = busy + 100.0 * _shares(added, hosts.cores[rows])
    disk = hosts.disk_available[rows] - hosts.reserved_disk[rows] - need.disk_bytes
    found = np.full(is_node.shape, FITS, np.int8)
    # From the last that is told to the first.
    np.copyto(found, DISK, where=disk < 0)
    np.copyto(found, PROCESSOR, where=processor >= CEILING_PERCENT)
    np.copyto(found, MEMORY, where=memory >= CEILING_PERCENT)
    np.copyto(found, UNKNOWN, where=is_node & (np.isnan(memory) | np.isnan(processor) | np.isnan(disk)))
    return found


def memory_forecast_percent(available: Float64, total: Float64, expected: float) -> Float64:
    """How full memory will be with a container that takes `expected` bytes, in per cent; NaN of no memory.

    Example:
        >>> memory_forecast_percent(np.array([4e9]), np.array([16e9]), 1e9).tolist()
        [81.25]
    """
    forecast = np.full(total.shape, np.nan)
    np.divide(available - expected, total, out=forecast, where=total > 0)
    return (1.0 - forecast) * 100.0


def percent_of(amounts: Float64, whole: float) -> Float64:
    """Shares of a whole in per cent; 0 where nobody knows how large that is."""
    return np.nan_to_num(100.0 * amounts / whole) if whole > 0 else np.zeros(len(amounts))


def _shares(added: Float64, cores: Float64) -> Float64:
    """Parts of processors; where there is nothing to add, their number need not be known."""
    share = np.full(added.shape, np.nan)
    np.divide(added, cores, out=share, where=cores > 0)
    np.copyto(share, 0.0, where=added == 0)
    return share


def _added(column: Float64, host: int, amount: float) -> Float64:
    more = column.copy()
    more[host] += amount
    return more
