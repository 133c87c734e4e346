"""What a ranker or a classifier is shown of a case: the windows of all services up to then, as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.delivery import Delivery
from microservo.algorithms.session import Case
from microservo.domain.system_rows import Row, SystemRows
from schemas import records

Float64 = NDArray[np.float64]

LEAST_BEFORE = 3
"""Windows before an alarm: with fewer there is nothing to compare it with."""


class Casework:
    """Makes the cases of one run for one algorithm.

    Args:
        declaration: says which kinds of windows it is given.
        rows: gathers the windows of all services.
        history_us: how far back from its opening a case goes.
    """

    def __init__(self, declaration: Declaration, rows: SystemRows, history_us: int) -> None:
        self._kinds = frozenset(declaration.kinds)
        self._rows = rows
        self._history_us = history_us
        self._edges: dict[tuple[str, str], int] = {}

    def add_graph(self, graph: records.ServiceGraph) -> None:
        """Adds who called whom within an interval."""
        for edge in zip(graph.callers, graph.callees, strict=True):
            known_us = self._edges.get(edge)
            self._edges[edge] = graph.end_us if known_us is None else min(known_us, graph.end_us)

    def is_ready(self, case: records.Case) -> bool:
        """Whether the windows of all services up to the case's end are there."""
        return self._rows.complete_us >= case.until_us

    def case(self, case: records.Case) -> Case | None:
        """What is shown of it; None where there are too few windows before."""
        rows = self._rows.rows(case.opened_us - self._history_us, case.until_us)
        rows = [(start_us, row) for start_us, row in rows if self._wanted(row)]
        alarm_us = _alarm_us(rows, case.opened_us)
        if alarm_us is None:
            return None
        services = sorted({name for _, row in rows for name in self._wanted(row)})
        return Case(
            alarm_us=alarm_us,
            start_us=np.array([start_us for start_us, _ in rows], np.int64),
            features={service: self._columns(service, rows) for service in services},
            graph=sorted(edge for edge, since_us in self._edges.items() if since_us <= case.until_us),
        )

    def _wanted(self, row: Row) -> list[str]:
        return [name for name, window in row.items() if window.service_kind in self._kinds]

    def _columns(self, service: str, rows: Sequence[tuple[int, Row]]) -> tuple[tuple[str, ...], Float64]:
        """Names and values, shape (windows, features), of a service; NaN where a feature did not come."""
        found: list[dict[str, float]] = []
        for _, row in rows:
            window = row.get(service)
            if window is None:
                found.append({})
                continue
            found.append(dict(zip(window.names, window.values, strict=True)))
        names = tuple(sorted({name for each in found for name in each}))
        values = np.array([[each.get(name, np.nan) for name in names] for each in found], np.float64)
        return names, values.reshape(len(found), len(names))


def case_sha256(case: Case, declaration: Declaration) -> str:
    """Identity of all that an algorithm is shown of a case."""
    header, body = case.frame(Delivery(declaration))
    return hashlib.sha256(repr(sorted(header.items())).encode() + body).hexdigest()


def _alarm_us(rows: Iterable[tuple[int, Row]], opened_us: int) -> int | None:
    """The start of the window in which something began; None with too few before it, or none since."""
    for before, (start_us, row) in enumerate(rows):
        if max(window.end_us for window in row.values()) >= opened_us:
            return start_us if before >= LEAST_BEFORE else None
    return None
