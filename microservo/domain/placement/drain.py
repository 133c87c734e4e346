"""Where all containers of an underloaded host go, so that it can be released."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from microservo.domain.placement.capacity import Hosts, percent_of
from microservo.domain.placement.hosts import NoHost, choose_node
from microservo.domain.placement.overload import Containers


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One container to another host.

    Attributes:
        container: its name.
        host: name of the host that it goes to.
        index: that host's place in the columns of hosts.
        distance_m: metres from where it is wanted.
    """

    container: str
    host: str
    index: int
    distance_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDrained:
    """A host keeps its containers.

    Attributes:
        container: the one that can't leave.
        reason: why, in one sentence.
    """

    container: str
    reason: str


def plan_drain(
    hosts: Hosts, host: int, containers: Containers, *, excluded: Collection[str] = ()
) -> tuple[Move, ...] | NotDrained:
    """A move for each container of a host, or none at all where one finds no place.

    The largest leaves first, each to the nearest ready node with room, where what went there before it takes
    its share. No host is started or joined for it: that would only move the waste.

    Args:
        hosts: all there are.
        host: place of the one to be drained; nothing goes to it.
        containers: those on it that are to leave; without those that end with the host.
        excluded: names of hosts that nothing may go to, as others that are drained in the same turn.
    """
    fixed = [containers.names[index] for index in np.flatnonzero(~containers.can_move)]
    if fixed:
        reason = f"container {min(fixed)} of host {hosts.names[host]} can't be moved, so the host is kept"
        return NotDrained(container=min(fixed), reason=reason)
    moves: list[Move] = []
    not_to = {*excluded, hosts.names[host]}
    for index in _largest_first(hosts, host, containers):
        place, need = containers.place(index), containers.need(index)
        choice = choose_node(place, hosts, need, excluded=not_to)
        if isinstance(choice, NoHost):
            counts = ", ".join(f"{count} {reason}" for reason, count in choice.counts().items())
            reason = f"container {containers.names[index]} finds no place on another node: {counts}"
            return NotDrained(container=containers.names[index], reason=reason)
        moves.append(
            Move(
                container=containers.names[index],
                host=choice.host,
                index=choice.index,
                distance_m=choice.distance_m,
            )
        )
        hosts = hosts.with_reservation(choice.index, need)
    return tuple(moves)


def _largest_first(hosts: Hosts, host: int, containers: Containers) -> list[int]:
    """By the larger of their shares of the host that they leave: what is hardest to place comes first."""
    memory = percent_of(containers.memory_bytes, float(hosts.memory_total[host]))
    size = np.maximum(memory, percent_of(containers.cpu_cores, float(hosts.cores[host])))
    return sorted(range(len(containers)), key=lambda index: (-size[index], containers.names[index]))
