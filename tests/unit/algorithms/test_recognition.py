"""Objects shaped as those of the libraries. The real ones are in the integration tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from microservo.algorithms.fenced.adapters import Scorer
from microservo.algorithms.fenced.objects import Refused
from microservo.algorithms.fenced.recognition import as_detector

Table = NDArray[np.float64]
ORDER = ("a", "b")


class River:
    def __init__(self) -> None:
        self.largest = 0.0

    def score_one(self, x: Mapping[str, float]) -> float:
        return max(x.values()) - self.largest

    def learn_one(self, x: Mapping[str, float]) -> None:
        self.largest = max(self.largest, *x.values())


class Supervised(River):
    def learn_one(self, x: Mapping[str, float], y: float) -> None:  # type: ignore[override]
        del x, y


class PySad:
    def fit_partial(self, x: Table, y: object = None) -> PySad:
        self.mean = x
        return self

    def score_partial(self, x: Table) -> Any:
        return np.array([np.abs(x - self.mean).sum()])


class Distance:
    """Fits a mean. Higher is further away."""

    def fit(self, table: Table, y: object = None) -> Distance:
        self.mean = table.mean(axis=0)
        return self

    def decision_function(self, table: Table) -> Table:
        return np.asarray(np.abs(table - self.mean).sum(axis=1))


class OutlierMixin:
    pass


class SkForest(OutlierMixin, Distance):
    """Lower is more anomalous."""

    def score_samples(self, table: Table) -> Table:
        return -super().decision_function(table)

    def decision_function(self, table: Table) -> Table:
        return -super().decision_function(table)


class SkSvm(OutlierMixin):
    fit = Distance.fit

    def decision_function(self, table: Table) -> Table:
        return -Distance.decision_function(self, table)  # type: ignore[arg-type]


class SkClassifier(Distance):
    pass


class SkLof(OutlierMixin):
    novelty = False

    def fit(self, table: Table) -> None:
        del table


class PyOd(OutlierMixin, Distance):
    """Passes for an outlier detector of scikit-learn, and is none."""


class Pipeline:
    """No outlier detector by itself, as scikit-learn's."""

    def __init__(self, final: Any) -> None:
        self.steps: list[tuple[str, Any]] = [("scale", Scale()), ("final", final)]
        if hasattr(final, "score_samples"):
            self.score_samples = final.score_samples

    def fit(self, table: Table) -> None:
        self.steps[-1][1].fit(table)

    def decision_function(self, table: Table) -> Table:
        found: Table = self.steps[-1][1].decision_function(table)
        return found


class Scale:
    def fit(self, table: Table) -> Scale:
        self.largest = np.abs(table).max(axis=0)
        return self

    def transform(self, table: Table) -> Table:
        return np.asarray(table / self.largest)


for kind in (SkForest, SkSvm, SkClassifier, SkLof, Pipeline):
    kind.__module__ = "sklearn.shaped"
PyOd.__module__ = "pyod.models.shaped"


def _trained(scorer: Scorer, windows: int = 300) -> Scorer:
    rng = np.random.default_rng(1)
    for row in rng.normal(size=(windows, 2)).tolist():
        scorer.learn(ORDER, tuple(row))
    return scorer


@pytest.mark.parametrize(
    ("make", "style", "sign"),
    [
        (River, "score_one", 1),
        (PySad, "score_partial", 1),
        (SkForest, "fit", -1),
        (SkSvm, "fit", -1),
        (PyOd, "fit", 1),
        (Distance, "fit", 1),
        (lambda: Pipeline(SkForest()), "fit", -1),
        (lambda: Pipeline(SkSvm()), "fit", -1),
        (lambda: Pipeline(PyOd()), "fit", 1),
        (lambda: lambda x: max(x.values()), "function", 1),
    ],
)
def test_an_odd_window_scores_high_whatever_the_library_thinks(make: Any, style: str, sign: int) -> None:
    found = as_detector(make)
    assert (found.style, found.sign) == (style, sign)
    scorer = _trained(found.scorer())
    assert scorer.score(ORDER, (8.0, 8.0)) > scorer.score(ORDER, (0.1, 0.0))


def _ranker(data: Any, inject_time: float) -> dict[str, list[str]]:
    raise AssertionError((data, inject_time))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Supervised, "learns from a target"),
        (SkClassifier, "no score of outliers"),
        (SkLof, "novelty=true"),
        (Scale, "no score of outliers"),
        (dict, "no detector"),
        (lambda: _ranker, "_ranker takes more than a window.*task = 'ranker'"),
    ],
)
def test_what_is_no_detector_is_refused_with_the_way_out(make: Any, words: str) -> None:
    with pytest.raises(Refused, match=words):
        as_detector(make)


def test_sizes_of_batches_are_refused_where_there_are_none() -> None:
    with pytest.raises(Refused, match="is for what is fitted on tables"):
        as_detector(River, batch={"warm_up": 64})


def test_steps_of_another_library_are_refused() -> None:
    with pytest.raises(Refused, match="Scale has no learn_one and transform_one"):
        as_detector(River, [Scale])


def test_what_is_fitted_on_tables_is_not_ready_before_and_fitted_again_as_it_learns() -> None:
    fits: list[int] = []

    class Counting(Distance):
        def fit(self, table: Table, y: object = None) -> Distance:
            fits.append(len(table))
            return super().fit(table)

    scorer = as_detector(Counting, [Scale], {"warm_up": 4, "refit": 16, "buffer": 20}).scorer()
    scores = []
    for index in range(60):
        scores.append(scorer.score(ORDER, (1.0, index % 5)))
        scorer.learn(ORDER, (1.0, index % 5))
    assert [math.isnan(score) for score in scores[:6]] == [True] * 4 + [False] * 2
    assert fits == [4, 8, 16, 20, 20]
    assert scorer.left_out == 1


class Alone:
    """Judges the rows of a table by one another."""

    sizes: ClassVar[set[int]] = set()

    def fit(self, table: Table) -> None:
        self.mean = table.mean()

    def decision_function(self, table: Table) -> Table:
        self.sizes.add(len(table))
        return np.asarray(table.sum(axis=1))


def test_rows_are_scored_one_at_a_time_so_that_a_replay_gives_the_same() -> None:
    scorer = _trained(as_detector(Alone).scorer())
    for _ in range(3):
        scorer.score(ORDER, (1.0, 2.0))
    assert Alone.sizes == {1}


@pytest.mark.parametrize("score", ["high", None, np.array([1.0, 2.0]), [1.0]])
def test_a_score_that_is_no_number_is_an_error(score: object) -> None:
    with pytest.raises(TypeError, match="expected one number"):
        as_detector(lambda: lambda _: score).scorer().score(ORDER, (1.0, 2.0))
