"""A detector at work: windows in, scores and what follows from them out. No broker and no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.delivery import Delivery, system_row
from microservo.algorithms.session import Counts, Session
from microservo.domain.alarms import AlarmDecider, Decision
from microservo.domain.system_rows import SYSTEM, Row, SystemRows
from schemas.records import FeatureWindow

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A window, or an instant of the whole system, and its score.

    Attributes:
        score: higher is more anomalous; NaN is not ready.
        input_sha256: of what the algorithm was given.
        window: the window; of a whole system, that of its first service.
    """

    service: str
    start_us: int
    end_us: int
    score: float
    input_sha256: str
    window: FeatureWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What a row of features is of."""

    service: str
    names: tuple[str, ...]
    values: Sequence[float] | Float64
    window: FeatureWindow


class Detecting:
    """Scores the windows of one run with one detector, each before it is learned from.

    Windows of a service come in order of time. Those of different services may come in any order, and lead
    to the same scores and decisions.

    Args:
        session: to the algorithm.
        decider: what makes alarms of scores.
        rows: gathers the windows of all services.
    """

    def __init__(
        self,
        session: Session,
        decider: AlarmDecider,
        rows: SystemRows,
    ) -> None:
        self._session = session
        self._kinds = frozenset(session.declaration.kinds)
        self._is_of_system = session.declaration.per == "system"
        self._delivery = Delivery(session.declaration)
        self._decider = decider
        self._rows = rows
        self._scored_us = 0
        """Of a whole system: instants that end by then are scored."""
        self.counts: dict[str, Counts] = {}
        """Of each service: what was done to features before the algorithm got them."""
        self.cpu_us = 0
        """Processor time of all answers, as the algorithm's process says."""

    def take(self, windows: Sequence[tuple[FeatureWindow, int]]) -> tuple[list[Scored], list[Decision]]:
        """The scores of windows that were not known yet, and the decisions that follow.

        Args:
            windows: first revisions of one run, each with the partition that it lay on.

        Raises:
            AlgorithmFailed: the algorithm raised something; it can be asked on.
            AlgorithmEnded, BadAnswer, DeadlineExceeded: it has to be started anew.
        """
        new = [window for window, partition in windows if self._rows.add(window, partition)]
        given = self._instants() if self._is_of_system else self._windows(new)
        scored = list(self._scores(given))
        for each in scored:
            self._decider.add(each.service, each.end_us, each.score)
        return scored, list(self._decider.advance(self._rows.complete_us))

    def snapshot(self) -> dict[str, Any] | None:
        """What is known beside the algorithm's own memory, as plain values; None where that is too much."""
        if self._is_of_system:
            return None
        return {"decider": self._decider.snapshot(), "rows": self._rows.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot."""
        self._decider.restore(snapshot["decider"])
        self._rows.restore(snapshot["rows"])

    def _windows(self, new: Sequence[FeatureWindow]) -> list[_Given]:
        wanted = [window for window in new if window.service_kind in self._kinds]
        wanted.sort(key=attrgetter("service", "start_us"))
        return [
            _Given(service=each.service, names=tuple(each.names), values=each.values, window=each)
            for each in wanted
        ]

    def _instants(self) -> list[_Given]:
        until_us = self._rows.complete_us
        given = [self._instant(row) for _, row in self._rows.rows(self._scored_us, until_us)]
        self._scored_us = max(self._scored_us, until_us)
        return [each for each in given if each is not None]

    def _instant(self, row: Row) -> _Given | None:
        wanted = {name: window for name, window in row.items() if window.service_kind in self._kinds}
        if not wanted:
            return None
        parts = {}
        for service, window in wanted.items():
            names, values = self._delivery(window.names, np.array([window.values], np.float64))
            parts[service] = names, values[0]
        names, values = system_row(parts)
        return _Given(service=SYSTEM, names=names, values=values[0], window=wanted[min(wanted)])

    def _scores(self, given: Sequence[_Given]) -> Iterator[Scored]:
        # Nearly all windows of a service have the same names, and those that do go together.
        for (service, names), group in groupby(given, key=attrgetter("service", "names")):
            of_group = list(group)
            rows = np.array([each.values for each in of_group], np.float64)
            given_names, rows = (names, rows) if self._is_of_system else self._delivery(names, rows)
            answer = self._session.score(service, given_names, rows)
            self.counts[service] = answer.counts
            self.cpu_us += answer.cpu_us
            hashes = _hashes(given_names, rows)
            for each, score, sha256 in zip(of_group, answer.scores.tolist(), hashes, strict=True):
                yield Scored(
                    service=service,
                    start_us=each.window.start_us,
                    end_us=each.window.end_us,
                    score=score,
                    input_sha256=sha256,
                    window=each.window,
                )


def _hashes(names: Sequence[str], rows: Float64) -> Iterator[str]:
    """The identity of each row with its names."""
    begin = hashlib.sha256("\n".join(names).encode() + b"\n\n")
    for row in rows.astype("<f8"):
        sha256 = begin.copy()
        sha256.update(row.tobytes())
        yield sha256.hexdigest()
