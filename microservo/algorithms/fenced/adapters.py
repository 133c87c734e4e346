"""Stock objects as rows in, scores out: one small class for each way that libraries are called.

All give higher scores to what is more anomalous, and NaN while they are not ready.
"""

from __future__ import annotations

import importlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from .inputs import Names, Row
from .objects import Refused

NOT_READY = math.nan
Make = Callable[[], Any]


class Scorer(Protocol):
    """What scores the rows of one service."""

    @property
    def left_out(self) -> int:
        """Features that its newest fit could not use."""

    def score(self, order: Names, row: Row) -> float:
        """How anomalous the row is; changes nothing."""

    def learn(self, order: Names, row: Row) -> None:
        """Learns from the row, after it was scored."""


def number(score: Any) -> float:
    """A score as a float: a number, or an array that holds a single one.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(score, (int, float)):
        return float(score)
    item = getattr(score, "item", None)
    found = item() if item is not None and getattr(score, "size", 0) == 1 else None
    if isinstance(found, (int, float)):
        return float(found)
    msg = f"a score of {str(score)[:80]!r} ({type(score).__name__}); expected one number"
    raise TypeError(msg)


class OneByOne:
    """`score_one` and `learn_one` with a dict, as River has them; `pre` makes the transformers before it."""

    left_out = 0

    def __init__(self, make: Make, pre: Sequence[Make]) -> None:
        self._make = make
        self._algorithm = make()
        self._steps = [each() for each in pre]

    def __getstate__(self) -> Mapping[str, Any]:
        return memory_of(self)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        remember(self, state)

    def score(self, order: Names, row: Row) -> float:
        x: Any = dict(zip(order, row, strict=True))
        for step in self._steps:
            x = step.transform_one(x)
        return number(self._algorithm.score_one(x))

    def learn(self, order: Names, row: Row) -> None:
        x: Any = dict(zip(order, row, strict=True))
        for step in self._steps:
            step.learn_one(x)
            x = step.transform_one(x)
        self._algorithm.learn_one(x)


class Partial:
    """`score_partial` and `fit_partial` with a vector, as PySAD has them.

    It is asked only once it has learned: most of its models have no state before.
    """

    left_out = 0

    def __init__(self, make: Make, pre: Sequence[Make]) -> None:
        self._make = make
        self._algorithm = make()
        self._steps = [each() for each in pre]
        self._has_learned = False

    def __getstate__(self) -> Mapping[str, Any]:
        return memory_of(self)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        remember(self, state)

    def score(self, order: Names, row: Row) -> float:
        del order
        if not self._has_learned:
            return NOT_READY
        x = importlib.import_module("numpy").array(row, dtype=float)
        for step in self._steps:
            x = step.transform_partial(x)
        return number(self._algorithm.score_partial(x))

    def learn(self, order: Names, row: Row) -> None:
        del order
        x = importlib.import_module("numpy").array(row, dtype=float)
        for step in self._steps:
            step.fit_partial(x)
            x = step.transform_partial(x)
        self._algorithm.fit_partial(x)
        self._has_learned = True


class Batch:
    """`fit` on a table, then a score of a table, as PyOD and scikit-learn have them.

    It is fitted first after `warm_up` rows, again whenever there are twice as many, and from `refit` on each
    `refit` rows; on the newest `buffer` rows. Rows are scored one at a time: some objects judge the rows of a
    table by one another (PyOD's ECOD), and a replay must give what was given live.

    Args:
        make: a new object, unfitted.
        pre: make transformers with `fit` and `transform`, for each fit anew.
        score: the name of the method that scores a table.
        sign: 1 where its higher scores are more anomalous, -1 where its lower ones are.
        warm_up: rows before the first fit.
        refit: rows between two fits at most.
        buffer: rows that are kept.
    """

    def __init__(
        self,
        make: Make,
        pre: Sequence[Make],
        *,
        score: str,
        sign: int,
        warm_up: int,
        refit: int,
        buffer: int,
    ) -> None:
        self.left_out = 0
        self._make = make
        self._pre = pre
        self._score = score
        self._sign = sign
        self._refit = refit
        self._rows: deque[Row] = deque(maxlen=buffer)
        self._learned = 0
        self._next_fit = warm_up
        self._fitted: tuple[Any, Sequence[Any], Any] | None = None

    def score(self, order: Names, row: Row) -> float:
        del order
        if self._fitted is None:
            return NOT_READY
        algorithm, steps, moves = self._fitted
        table = importlib.import_module("numpy").array([row], dtype=float)[:, moves]
        for step in steps:
            table = step.transform(table)
        return self._sign * number(getattr(algorithm, self._score)(table))

    def learn(self, order: Names, row: Row) -> None:
        del order
        self._rows.append(row)
        self._learned += 1
        if self._learned >= self._next_fit:
            self._next_fit = self._learned + min(self._learned, self._refit)
            self._fit()

    def _fit(self) -> None:
        table = importlib.import_module("numpy").array(self._rows, dtype=float)
        moves = (table != table[0]).any(axis=0)
        self.left_out = int((~moves).sum())
        if self.left_out == table.shape[1]:
            return  # nothing has moved yet, so there is nothing to fit
        table = table[:, moves]
        algorithm, steps = self._make(), [make() for make in self._pre]
        for step in steps:
            table = step.fit(table).transform(table)
        algorithm.fit(table)
        self._fitted = algorithm, steps, moves


class Stateless:
    """A function of one window."""

    left_out = 0

    def __init__(self, make: Make) -> None:
        self._function = make()

    def score(self, order: Names, row: Row) -> float:
        return number(self._function(dict(zip(order, row, strict=True))))

    def learn(self, order: Names, row: Row) -> None:
        """There is nothing that learns."""


class Turned:
    """Another scorer with the sign of its scores turned."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    @property
    def left_out(self) -> int:
        """As of the other."""
        return self._scorer.left_out

    def score(self, order: Names, row: Row) -> float:
        return -self._scorer.score(order, row)

    def learn(self, order: Names, row: Row) -> None:
        self._scorer.learn(order, row)


class OfEachFeature:
    """One scorer for each feature, for algorithms of a single value; the largest score counts."""

    def __init__(self, make: Callable[[], Scorer]) -> None:
        self._make = make
        self._scorers: dict[str, Scorer] = {}

    @property
    def left_out(self) -> int:
        """Features whose own scorer has none to be fitted on."""
        return sum(each.left_out for each in self._scorers.values())

    def score(self, order: Names, row: Row) -> float:
        scores = [
            self._scorers[name].score((name,), (value,))
            for name, value in zip(order, row, strict=True)
            if name in self._scorers
        ]
        return max((score for score in scores if not math.isnan(score)), default=NOT_READY)

    def learn(self, order: Names, row: Row) -> None:
        for name, value in zip(order, row, strict=True):
            if name not in self._scorers:
                self._scorers[name] = self._make()
            self._scorers[name].learn((name,), (value,))


def memory_of(scorer: Any) -> Mapping[str, Any]:
    """What a scorer is put away as: its algorithm by its own `snapshot`, or whole where it has none."""
    state = dict(vars(scorer))
    algorithm = state["_algorithm"]
    if callable(getattr(algorithm, "snapshot", None)) and callable(getattr(algorithm, "restore", None)):
        state["_algorithm"] = None
        state["_snapshot"] = algorithm.snapshot()
    return state


def remember(scorer: Any, state: Mapping[str, Any]) -> None:
    """Makes a scorer of what `memory_of` gave."""
    snapshot = state.get("_snapshot")
    vars(scorer).update({name: value for name, value in state.items() if name != "_snapshot"})
    if snapshot is not None:
        algorithm = scorer._make()
        algorithm.restore(snapshot)
        scorer._algorithm = algorithm


def step_methods(steps: Sequence[Any], methods: Sequence[str], of: str) -> None:
    """Checks that all steps before an algorithm are called as it is.

    Raises:
        Refused: one is not.
    """
    for step in steps:
        missing = [name for name in methods if not callable(getattr(step, name, None))]
        if missing:
            msg = (
                f"the step {type(step).__name__} has no {' and '.join(missing)}, which go before {of}; "
                "take a transformer of the same library"
            )
            raise Refused(msg)
