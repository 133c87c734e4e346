"""Who calls whom, and which services are exposed to a fault in one: by the calls in both directions.

::

    users ─► caller ─► caller ─► root ─► callee ─► callee
    (user)      │                                 ▲
                └────────► callee (starved) ──────┘      and on the same host: neighbours

Exposed is not affected: it says where an effect may be looked for, and an observer measures whether there is
one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from microservo.domain.faults.lifecycle import RELATIONS, ExposedService
from schemas.records import Relation, ServiceGraph

Edge = tuple[str, str]
"""A caller and what it calls."""

OUTSIDE: frozenset[str] = frozenset({"loadgen"})
"""Callers that are no part of the target system: users, not services."""

_REMEMBERED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGraph:
    """The edges seen lately; those declared until the first graph was seen.

    Attributes:
        remembered: how many graphs count. Several, since a rare call (a checkout) isn't in each interval.
        seen: the edges of each of them, the newest last.
    """

    remembered: int = _REMEMBERED
    seen: tuple[frozenset[Edge], ...] = ()

    def with_graph(self, graph: ServiceGraph) -> Self:
        """The graph after one more interval; edges without calls don't count."""
        columns = zip(graph.callers, graph.callees, graph.calls, strict=True)
        edges = frozenset((caller, callee) for caller, callee, calls in columns if calls > 0)
        # An interval without any call says that nobody came, not that nobody depends on anybody.
        return replace(self, seen=(*self.seen, edges)[-self.remembered :]) if edges else self

    def edges(self, on_paper: Iterable[Edge] = ()) -> frozenset[Edge]:
        """The edges seen in the remembered graphs, or those declared when there are none."""
        return frozenset().union(*self.seen) if self.seen else frozenset(on_paper)


def exposed_services(
    edges: Iterable[Edge],
    target: str,
    *,
    neighbours: Iterable[str] = (),
    outside: Collection[str] = OUTSIDE,
) -> tuple[ExposedService, ...]:
    """The target as root, then all that its fault may reach: callers, users, callees, neighbours.

    Each service has the first relation of these that it is in. Callers are those that depend on the target,
    over whatever many calls; users those that call it, or such a caller, from outside. What any of these
    calls is a callee, over whatever many calls: it may be starved, or asked again and again. Hops of a callee
    are those up to the one that leads to it, and down again.

    Args:
        edges: callers and callees.
        target: the service that was hit.
        neighbours: services on the same host, where that may matter.
        outside: callers that are users: nothing depends on them.

    Returns:
        In order of relation, hops and name; the target is the first.
    """
    calls = [(caller, callee) for caller, callee in edges if caller != callee and callee not in outside]
    callees, callers = _grouped(calls), _grouped((callee, caller) for caller, callee in calls)
    up = _reached({target: 0}, callers)
    down = _reached(up, callees)
    found: dict[str, tuple[Relation, int]] = {service: ("neighbour", 0) for service in neighbours}
    found |= {service: (_relation(service, target, up, outside), hops) for service, hops in down.items()}
    exposed = (
        ExposedService(service=service, relation=relation, hops=hops)
        for service, (relation, hops) in found.items()
    )
    return tuple(sorted(exposed, key=place))


def place(exposed: ExposedService) -> tuple[int, int, str]:
    """Where a service stands among those that are exposed to the same fault."""
    return RELATIONS.index(exposed.relation), exposed.hops, exposed.service


def _relation(service: str, target: str, up: Collection[str], outside: Collection[str]) -> Relation:
    if service == target:
        return "root"
    if service not in up:
        return "callee"
    return "user" if service in outside else "caller"


def _reached(begin: Mapping[str, int], next_of: Mapping[str, set[str]]) -> dict[str, int]:
    """The services that can be reached from some, with the least hops, those at the beginning included."""
    hops = dict(begin)
    to_visit = sorted(hops, key=lambda service: hops[service])
    # Breadth first, though the first ones have different hops: who is improved is visited once more.
    for service in to_visit:
        for following in next_of.get(service, ()):
            known = hops.get(following)
            if known is None or hops[service] + 1 < known:
                hops[following] = hops[service] + 1
                to_visit.append(following)
    return hops


def _grouped(pairs: Iterable[Edge]) -> Mapping[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, set()).add(value)
    return groups
