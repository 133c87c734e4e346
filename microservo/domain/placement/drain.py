"""Where all containers of an underloaded host go, so that it can be released."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from microservo.domain.placement.capacity import Hosts
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
    raise NotImplementedError
