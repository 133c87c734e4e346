"""Who calls whom, and who is affected when a service is hit: its callers, their callers, and so on."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from microservo.domain.faults.lifecycle import AffectedService
from schemas.records import ServiceGraph

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


def affected_services(
    edges: Iterable[Edge], target: str, outside: Collection[str] = OUTSIDE
) -> tuple[AffectedService, ...]:
    """The target as root cause, then all that depend on it, nearest first, then by name.

    Args:
        edges: callers and callees.
        target: the service that was hit.
        outside: callers that are left out, with whatever only they lead to.
    """
    callers = _callers(edges, outside)
    hops = {target: 0}
    queue = deque([target])
    while queue:
        service = queue.popleft()
        for caller in callers.get(service, ()):
            if caller not in hops:
                hops[caller] = hops[service] + 1
                queue.append(caller)
    ordered = sorted(hops.items(), key=lambda item: (item[1], item[0]))
    return tuple(
        AffectedService(service=service, role="affected" if count else "root_cause", hops=count)
        for service, count in ordered
    )


def _callers(edges: Iterable[Edge], outside: Collection[str]) -> Mapping[str, set[str]]:
    callers: dict[str, set[str]] = {}
    for caller, callee in edges:
        if caller not in outside and caller != callee:
            callers.setdefault(callee, set()).add(caller)
    return callers
