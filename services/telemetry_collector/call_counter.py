"""Who called whom: the CLIENT and PRODUCER spans of an interval, counted by edge."""

from __future__ import annotations

import numpy as np

from microservo.domain.bounded_names import BoundedNames
from microservo.domain.rows import SpanRows
from microservo.domain.telemetry import CLIENT_SPAN, PRODUCER_SPAN
from schemas.records import ServiceGraph


class CallCounter:
    """Counts calls and failed calls from each service to each peer, until `drain`.

    Args:
        peers: bounds the peers of each service.
        start_us: first instant of the first interval.
    """

    def __init__(self, peers: BoundedNames, start_us: int) -> None:
        self._peers = peers
        self._start_us = start_us
        self._edges: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, rows: SpanRows) -> None:
        """Counts the calls among some spans; a peer need not send telemetry itself."""
        is_call = (rows.kind == CLIENT_SPAN) | (rows.kind == PRODUCER_SPAN)
        calls = np.bincount(rows.peer.codes[is_call], minlength=len(rows.peer.names))
        errors = np.bincount(rows.peer.codes[is_call & (rows.error != 0)], minlength=len(rows.peer.names))
        for peer, called, failed in zip(rows.peer.names, calls.tolist(), errors.tolist(), strict=True):
            if peer and called:
                edge = rows.service, self._peers.admit(rows.service, peer)
                before = self._edges.get(edge, (0, 0))
                self._edges[edge] = before[0] + called, before[1] + failed

    def drain(self, run_id: str, end_us: int) -> ServiceGraph | None:
        """The edges of the interval that ends now, by name; None where there was no call."""
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
            calls=tuple([edges[edge][0] for edge in order]),
            errors=tuple([edges[edge][1] for edge in order]),
        )
