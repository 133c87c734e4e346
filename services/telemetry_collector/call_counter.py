"""Who called whom in an interval, by the spans of calls and by what lies below one another's spans."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microservo.domain.bounded_names import BoundedNames
from microservo.domain.rows import SpanRows
from microservo.domain.telemetry import CLIENT_SPAN, CONSUMER_SPAN, DATABASE, MESSAGING, PRODUCER_SPAN
from schemas.records import ServiceGraph

Edge = tuple[str, str]
Counts = tuple[int, int]
"""Calls, and those that failed."""

_SEEN = 10_000
_KINDS = {DATABASE: "database", MESSAGING: "queue"}


class CallCounter:
    """Counts calls and failed calls from each service to each peer, until `drain`.

    A peer may be a database or a queue, which sends no telemetry. Who takes from a queue is called by whoever
    puts there: by what joins their spans, or, where nothing does, by the name of the queue.

    Args:
        peers: bounds the peers of each service.
        start_us: first instant of the first interval.
    """

    def __init__(self, peers: BoundedNames, start_us: int) -> None:
        self._peers = peers
        self._start_us = start_us
        self._edges: dict[Edge, Counts] = {}
        self._consumed: dict[Edge, Counts] = {}
        self._producers: dict[str, set[str]] = {}
        self._services: set[str] = set()
        self._kinds: dict[str, str] = {}

    def add(self, rows: SpanRows) -> None:
        """Counts the calls among some spans, and the messages consumed."""
        if len(self._services) < _SEEN:
            self._services.add(rows.service)
        is_call = (rows.kind == CLIENT_SPAN) | (rows.kind == PRODUCER_SPAN)
        for name, counts in _counted(rows, is_call):
            peer = self._peers.admit(rows.service, name)
            _add(self._edges, (rows.service, peer), counts)
            if peer not in self._kinds and len(self._kinds) < _SEEN:
                self._learn(rows, peer)
            if self._kinds.get(peer) == "queue":
                self._producers.setdefault(peer, set()).add(rows.service)
        for queue, counts in _counted(rows, rows.kind == CONSUMER_SPAN):
            _add(self._consumed, (self._peers.admit(rows.service, queue), rows.service), counts)

    def add_links(self, links: Mapping[Edge, int]) -> None:
        """Counts calls that have no span of their own."""
        for edge, calls in links.items():
            _add(self._edges, edge, (calls, 0))

    def drain(self, run_id: str, end_us: int) -> ServiceGraph | None:
        """The edges of the interval that ends now, by name; None where there was no call."""
        self._join_queues()
        edges, self._edges = self._edges, {}
        start_us, self._start_us = self._start_us, end_us
        if not edges:
            return None
        order = sorted(edges)
        return ServiceGraph(
            run_id=run_id,
            start_us=start_us,
            end_us=end_us,
            callers=tuple([caller for caller, _ in order]),
            callees=tuple([callee for _, callee in order]),
            callee_kinds=tuple([self._kind(callee) for _, callee in order]),
            calls=tuple([edges[edge][0] for edge in order]),
            errors=tuple([edges[edge][1] for edge in order]),
        )

    def _join_queues(self) -> None:
        consumed, self._consumed = self._consumed, {}
        joined = set(self._edges)
        for (queue, consumer), counts in consumed.items():
            producers = self._producers.get(queue, set()) - {consumer}
            if not any((producer, consumer) in joined for producer in producers):
                for producer in producers:
                    _add(self._edges, (producer, consumer), counts)

    def _learn(self, rows: SpanRows, peer: str) -> None:
        if peer in rows.peer.names:
            protocol = rows.protocol[rows.peer.codes == rows.peer.names.index(peer)].max()
            self._kinds[peer] = _KINDS.get(int(protocol), "unseen")

    def _kind(self, callee: str) -> str:
        return "service" if callee in self._services else self._kinds.get(callee, "unseen")


def _counted(rows: SpanRows, some: np.ndarray) -> list[tuple[str, Counts]]:
    """Of some rows, those of each peer and those of them that failed."""
    if not some.any():
        return []
    calls = np.bincount(rows.peer.codes[some], minlength=len(rows.peer.names))
    errors = np.bincount(rows.peer.codes[some & (rows.error != 0)], minlength=len(rows.peer.names))
    counts = zip(rows.peer.names, zip(calls.tolist(), errors.tolist(), strict=True), strict=True)
    return [(peer, each) for peer, each in counts if peer and each[0]]


def _add(edges: dict[Edge, Counts], edge: Edge, counts: Counts) -> None:
    before = edges.get(edge, (0, 0))
    edges[edge] = before[0] + counts[0], before[1] + counts[1]
