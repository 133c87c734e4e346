"""Which container leaves an overloaded host: the one whose move helps most at least cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.domain.geography import Coordinates
from microservo.domain.placement.capacity import CEILING_PERCENT, Hosts, Need, percent_of
from microservo.domain.telemetry import Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Containers of one host in columns of shape (containers,).

    Attributes:
        names: unique.
        cpu_cores: processors that each keeps busy.
        memory_bytes: memory that each uses.
        disk_bytes: what its image takes elsewhere.
        requests_per_s: requests that each answers.
        latitude: degrees: where its demand is, or the place of its host where that isn't known.
        longitude: degrees, likewise.
        can_move: False for containers of the system and databases, and stateful ones whose volume stays.
    """

    names: tuple[str, ...]
    cpu_cores: Float64
    memory_bytes: Float64
    disk_bytes: Float64
    requests_per_s: Float64
    latitude: Float64
    longitude: Float64
    can_move: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    def place(self, index: int) -> Coordinates:
        """Where the container at a place in the columns is wanted."""
        return Coordinates(float(self.latitude[index]), float(self.longitude[index]))

    def need(self, index: int) -> Need:
        """What the container at a place in the columns will take elsewhere."""
        return Need(
            memory_bytes=float(self.memory_bytes[index]),
            cpu_cores=float(self.cpu_cores[index]),
            disk_bytes=float(self.disk_bytes[index]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What the move of a container does.

    Attributes:
        index: its place in the columns.
        name: of the container.
        relief: the share of the host's excess that it takes away, 0 to 1.
        cost: 1 to 3; see `rank_reliefs`.
    """

    index: int
    name: str
    relief: float
    cost: float

    @property
    def worth(self) -> float:
        """What is ranked by."""
        return self.relief / self.cost


def rank_reliefs(
    hosts: Hosts, host: int, containers: Containers, *, ceiling_percent: float = CEILING_PERCENT
) -> tuple[Relief, ...]:
    """Containers of an overloaded host that can move, the best to move first.

    With excess e in memory and processors, each in per cent of the host above the ceiling, and m and p what
    the container takes of them in per cent of the host::

        relief = (min(m, e_m) + min(p, e_p)) / (e_m + e_p)
        cost   = 1 + share of the host's requests it answers + share of the host's memory it fills
        worth  = relief / cost

    The requests are those that may be lost or slow while it moves, and memory is what has to be warmed up
    again. Where nothing is above the ceiling, since the rule was about something else, all that the host's
    containers take is excess. Of the same worth, the one with the least cost, then the first by name.

    usmanager moved one at random.

    Args:
        hosts: all there are.
        host: place of the overloaded one.
        containers: those on it.
        ceiling_percent: of memory and processor.
    """
    total = float(hosts.memory_total[host])
    memory = percent_of(containers.memory_bytes, total)
    processor = percent_of(containers.cpu_cores, float(hosts.cores[host]))
    used = percent_of(total - hosts.memory_available[[host]], total)
    memory_excess = max(0.0, float(used[0]) - ceiling_percent)
    processor_excess = max(0.0, float(np.nan_to_num(hosts.cpu_percent[host])) - ceiling_percent)
    if not memory_excess + processor_excess:
        memory_excess, processor_excess = float(memory.sum()), float(processor.sum())
    excess = memory_excess + processor_excess
    taken = np.minimum(memory, memory_excess) + np.minimum(processor, processor_excess)
    relief = taken / excess if excess else np.zeros(len(containers))
    requests = float(containers.requests_per_s.sum())
    cost = 1.0 + (containers.requests_per_s / requests if requests else 0.0) + memory / 100.0
    found = [
        Relief(
            index=int(index),
            name=containers.names[index],
            relief=float(relief[index]),
            cost=float(cost[index]),
        )
        for index in np.flatnonzero(containers.can_move & (relief > 0))
    ]
    return tuple(sorted(found, key=lambda each: (-each.worth, each.cost, each.name)))
