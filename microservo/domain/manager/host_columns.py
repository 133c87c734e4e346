"""Hosts in columns for placement, kept up to date change by change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.domain.geography import unit_vectors
from microservo.domain.manager.entities import Host, Node
from microservo.domain.manager.host_answers import HostAnswers
from microservo.domain.placement import Hosts, Int8, Need

Number = TypeVar("Number", bound=np.generic)

_FIRST_ROWS = 16
_FLAGS: Final = ("is_edge", "is_node", "is_ready", "is_running")
_NUMBERS: Final = (
    "latitude",
    "longitude",
    "x",
    "y",
    "z",
    "cpu_percent",
    "cores",
    "memory_total",
    "memory_available",
    "disk_available",
    "reserved_memory",
    "reserved_cores",
    "reserved_disk",
)
_MEASURED: Final = ("cpu_percent", "memory_available", "disk_available")
_RESERVED: Final = ("reserved_memory", "reserved_cores", "reserved_disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reservation:
    """Room that is kept for a container until its host was measured with it.

    Attributes:
        since_us: when it started; None before it has.
    """

    host: str
    need: Need
    since_us: int | None = None


class HostColumns:
    """The hosts on which a manager may place containers, in the order of their coming; holes are closed."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._hosts: Hosts | None = None
        self._columns = {name: np.zeros(_FIRST_ROWS, np.bool_) for name in _FLAGS}
        self._numbers = {name: np.zeros(_FIRST_ROWS) for name in _NUMBERS}
        self._answers = HostAnswers()
        self._reservations: dict[str, _Reservation] = {}
        self._settling: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, host: str) -> bool:
        return host in self._rows

    def row(self, host: str) -> int:
        """The place of a host in the columns."""
        return self._rows[host]

    def hosts(self) -> Hosts:
        """All of them, as views that change with the next call of another method."""
        if self._hosts is None:
            length = len(self._names)
            columns: dict[str, Any] = {**self._columns, **self._numbers}
            views = {name: column[:length] for name, column in columns.items()}
            self._hosts = Hosts(names=tuple(self._names), rows=self._rows, **views)
        return self._hosts

    def why_not(self, need: Need) -> Int8:
        """What `placement.why_not` says of all of them, computed anew for those that have changed since.

        It is changed by the next call of this method.
        """
        return self._answers.why_not(self.hosts(), need)

    def put(self, host: Host, node: Node | None) -> None:
        """Enters what is known of a host and of its membership of the cluster."""
        row = self._rows.get(host.name)
        if row is None:
            row = self._append(host.name)
        self._answers.changed(row)
        flags, numbers = self._columns, self._numbers
        flags["is_edge"][row] = host.place == "edge"
        flags["is_node"][row] = node is not None
        is_up = host.state == "running"
        flags["is_ready"][row] = (
            is_up and node is not None and node.is_ready and node.availability == "active"
        )
        flags["is_running"][row] = is_up
        numbers["latitude"][row], numbers["longitude"][row] = host.latitude, host.longitude
        vector = unit_vectors(host.latitude, host.longitude)
        for axis, value in zip("xyz", vector, strict=True):
            numbers[axis][row] = value
        numbers["cores"][row] = host.cores or np.nan
        numbers["memory_total"][row] = host.memory_bytes or np.nan

    def remove(self, host: str) -> None:
        """Forgets a host; nothing where it isn't known."""
        row = self._rows.pop(host, None)
        if row is None:
            return
        last = self._names.pop()
        end = len(self._names)
        if row != end:
            self._names[row], self._rows[last] = last, row
            for column in (*self._columns.values(), *self._numbers.values()):
                column[row] = column[end]
        self._hosts = None
        self._answers.forget()

    def measure(self, host: str, values: dict[str, float], at_us: int) -> None:
        """Enters measured values by name of column; containers that ran by then are in them."""
        row = self._rows.get(host)
        if row is None:
            return
        for name, value in values.items():
            self._numbers[name][row] = value
        self._answers.changed(row)
        for container in list(self._settling.get(host, ())):
            since_us = self._reservations[container].since_us
            if since_us is not None and since_us < at_us:
                self.release(container)

    def reserve(self, container: str, host: str, need: Need) -> None:
        """Keeps room on a host for a container that is still starting."""
        self.release(container)
        if host not in self._rows:
            return
        self._reservations[container] = _Reservation(host=host, need=need)
        self._settling.setdefault(host, {})[container] = None
        self._add(host, need, 1.0)

    def settle(self, container: str, since_us: int) -> None:
        """Keeps the room until the host was measured after the container started."""
        reservation = self._reservations.get(container)
        if reservation is not None:
            self._reservations[container] = replace(reservation, since_us=since_us)

    def release(self, container: str) -> None:
        """Keeps no room for a container any more."""
        reservation = self._reservations.pop(container, None)
        if reservation is None:
            return
        settling = self._settling[reservation.host]
        del settling[container]
        if not settling:
            del self._settling[reservation.host]
        if reservation.host in self._rows:
            self._add(reservation.host, reservation.need, -1.0)

    def _add(self, host: str, need: Need, sign: float) -> None:
        row = self._rows[host]
        self._answers.changed(row)
        settling = self._settling.get(host)
        for name, amount in zip(_RESERVED, (need.memory_bytes, need.cpu_cores, need.disk_bytes), strict=True):
            # Sums of floats that come and go leave something behind: nothing is kept where nobody starts.
            kept = self._numbers[name][row] + sign * amount
            self._numbers[name][row] = kept if settling else 0.0

    def _append(self, name: str) -> int:
        row = len(self._names)
        if row == len(self._columns["is_edge"]):
            self._columns = {key: _doubled(column) for key, column in self._columns.items()}
            self._numbers = {key: _doubled(column) for key, column in self._numbers.items()}
        for key in _MEASURED:
            self._numbers[key][row] = np.nan
        for key in _RESERVED:
            self._numbers[key][row] = 0.0
        self._rows[name] = row
        self._names.append(name)
        self._hosts = None
        self._answers.forget()
        return row


def _doubled(column: NDArray[Number]) -> NDArray[Number]:
    return np.concatenate([column, np.zeros_like(column)])
