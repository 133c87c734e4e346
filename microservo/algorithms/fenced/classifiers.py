"""The classifier of a deployment: `fit` and `predict_proba`, as scikit-learn has them.

It learns from cases of earlier runs whose kind of failure the user gives; never from the run that it watches.
What it is given of a case is how far each quantity moved at the service where it moved the furthest. Features
are of one endpoint, peer or template, and the next fault hits others: what was learned by a name that one
service alone has would say nothing there, and which service the cause is at is not known when it is asked.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from .cases import Case
from .objects import Maker, Refused, find

_ABSENT = 0.0
"""What no service has does not move."""
_OF_CALLS = ("request", "call", "consume", "internal")
_LATENCIES = ("p50_ms", "p90_ms", "p99_ms")
_AGE = "/age_s"
"""How old the newest point of a metric is says when its meter looked."""


class Classifier:
    """Says which kind of failure a case is, by probability.

    Args:
        declaration: `object`, `params`, `pre` and `seed`.

    Raises:
        Refused: the object has no `fit` or `predict_proba`.
    """

    def __init__(self, declaration: Mapping[str, Any]) -> None:
        seed = declaration["seed"]
        self._make = Maker(find(declaration["object"]), declaration["params"], seed)
        self._pre = [Maker(find(step["object"]), step["params"], seed) for step in declaration["pre"]]
        example = self._make()
        if not callable(getattr(example, "fit", None)) or not hasattr(example, "predict_proba"):
            msg = f"{declaration['object']!r} is no classifier; expected `fit` and `predict_proba`"
            raise Refused(msg)
        self.style, self.sign = "fit", 1
        self._rows: list[Mapping[str, float]] = []
        self._kinds: list[str] = []
        self._order: tuple[str, ...] = ()
        self._fitted: tuple[Any, list[Any]] | None = None

    def add(self, case: Case, kind: str) -> None:
        """Keeps a case to be learned from."""
        self._rows.append(_row(case))
        self._kinds.append(kind)

    def fit(self) -> None:
        """Learns from all cases that were added.

        Raises:
            Refused: there are none of two kinds.
        """
        if len(set(self._kinds)) < 2:
            msg = (
                f"{len(self._kinds)} cases of {len(set(self._kinds))} kinds to learn from; expected two kinds"
            )
            raise Refused(msg)
        self._order = tuple(sorted({name for row in self._rows for name in row}))
        table, steps = self._table(self._rows), [make() for make in self._pre]
        for step in steps:
            table = step.fit(table).transform(table)
        algorithm = self._make()
        algorithm.fit(table, _array(self._kinds))
        self._fitted = algorithm, steps

    def classify(self, case: Case) -> dict[str, float]:
        """Probability of each kind.

        Raises:
            Refused: it has not been fitted.
        """
        if self._fitted is None:
            msg = "it has learned from no cases yet; train it on a dataset first"
            raise Refused(msg)
        algorithm, steps = self._fitted
        table = self._table([_row(case)])
        for step in steps:
            table = step.transform(table)
        probabilities = algorithm.predict_proba(table)[0]
        kinds = algorithm.classes_
        return {str(kind): float(value) for kind, value in zip(kinds, probabilities, strict=True)}

    def snapshot(self) -> Mapping[str, Any]:
        """All that was learned."""
        return {"order": self._order, "fitted": self._fitted, "rows": self._rows, "kinds": self._kinds}

    def restore(self, learned: Mapping[str, Any]) -> None:
        """Goes on from a snapshot."""
        self._order, self._fitted = learned["order"], learned["fitted"]
        self._rows, self._kinds = learned["rows"], learned["kinds"]

    def _table(self, rows: Sequence[Mapping[str, float]]) -> Any:
        return _array([[row.get(name, _ABSENT) for name in self._order] for row in rows])


def _array(values: Any) -> Any:
    """As libraries take it: an array of NumPy where that is there."""
    if importlib.util.find_spec("numpy") is None:
        return values
    return importlib.import_module("numpy").array(values)


def _row(case: Case) -> Mapping[str, float]:
    """Of each quantity, the deviation of the feature and service that deviate most, with its sign."""
    row: dict[str, float] = {}
    for deviations in case.log_deviations().values():
        for feature, deviation in deviations.items():
            if feature.endswith(_AGE):
                continue
            quantity = _quantity(feature)
            if abs(deviation) > abs(row.setdefault(quantity, _ABSENT)):
                row[quantity] = deviation
    return row


def _quantity(feature: str) -> str:
    """What a feature is a statistic of, by a name that all services can share."""
    family, _, rest = feature.partition("/")
    group, _, statistic = rest.rpartition("/")
    if family in _OF_CALLS:
        which = "*" if group == "*" else "each"
        return f"{family}/{which}/{'ms' if statistic in _LATENCIES else statistic}"
    if family == "metric":
        # How many points came is no value of the metric.
        return feature if statistic == "count" else f"{family}/{group}"
    return "log/template" if feature.startswith("log/template/") else feature
