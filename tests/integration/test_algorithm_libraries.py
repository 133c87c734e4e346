"""The libraries themselves, each in an environment of its own: some can't share one, and ours has none."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import environment

from microservo.algorithms import Case, resolve
from microservo.algorithms.kinds import kinds
from microservo.algorithms.unfenced import unfenced_session
from microservo.errors import AlgorithmRefused
from microservo.testing import check_algorithm

pytestmark = pytest.mark.integration

WITH_LIBRARY = {kind.name: kind.plugin.declaration for kind in kinds() if kind.plugin.declaration.requires}

PythonWith = Callable[[str], Path]


@pytest.fixture(scope="session")
def python_with() -> PythonWith:
    """The interpreter of an environment that has one requirement, made where it is missing."""

    def python_with(requirement: str) -> Path:
        return environment(requirement, [requirement])

    return python_with


def requirement_of(library: str) -> str:
    """The version that what is shipped requires."""
    found = {each for declared in WITH_LIBRARY.values() for each in declared.requires}
    return next(each for each in found if each.startswith(f"{library}=="))


@pytest.mark.parametrize("name", sorted(WITH_LIBRARY))
def test_what_is_shipped_keeps_to_all(name: str, python_with: PythonWith) -> None:
    (requirement,) = WITH_LIBRARY[name].requires
    check_algorithm(name, python=python_with(requirement))


STOCK: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("river", "river.anomaly:HalfSpaceTrees", {"pre": ["river.preprocessing:MinMaxScaler"]}),
    ("river", "river.anomaly:LocalOutlierFactor", {}),
    (
        "river",
        "river.anomaly:QuantileFilter",
        {
            "pre": ["river.preprocessing:MinMaxScaler"],
            "params": {"q": 0.95, "anomaly_detector": {"object": "river.anomaly:HalfSpaceTrees"}},
        },
    ),
    ("pysad", "pysad.models:RSHash", {"params": {"feature_mins": [10] * 10, "feature_maxes": [40] * 10}}),
    ("pysad", "pysad.models:ExactStorm", {}),
    ("pysad", "pysad.models:MedianAbsoluteDeviation", {"per": "feature"}),
    ("pyod", "pyod.models.hbos:HBOS", {}),
    ("pyod", "pyod.models.knn:KNN", {}),
    ("scikit-learn", "sklearn.svm:OneClassSVM", {"pre": ["sklearn.preprocessing:StandardScaler"]}),
    ("scikit-learn", "sklearn.covariance:EllipticEnvelope", {}),
    ("scikit-learn", "sklearn.neighbors:LocalOutlierFactor", {"params": {"novelty": True}}),
    ("scikit-learn", "sklearn.mixture:GaussianMixture", {}),
)


@pytest.mark.parametrize(("library", "spec", "declared"), STOCK, ids=[each[1] for each in STOCK])
def test_a_stock_object_scores_the_odd_window_high_without_code(
    library: str, spec: str, declared: Mapping[str, Any], python_with: PythonWith
) -> None:
    rng = np.random.default_rng(5)
    names = tuple(f"metric/{number}/mean" for number in range(10))
    plugin = resolve(spec, {**declared, "deadline": 10})
    with unfenced_session(plugin, python_with(requirement_of(library))) as session:
        session.open()
        session.learn("cart", names, 20 + rng.normal(size=(300, 10)))
        normal = session.score("cart", names, 20 + rng.normal(size=(20, 10))).scores
        odd = session.score("cart", names, np.full((1, 10), 32.0)).scores
    assert odd[0] > np.median(normal)


PIPELINES = {
    "sklearn": (
        "scikit-learn",
        "from sklearn.pipeline import make_pipeline as pipe\n"
        "from sklearn.preprocessing import RobustScaler\nfrom sklearn.ensemble import IsolationForest\n"
        "model = pipe(RobustScaler(), IsolationForest(n_estimators=20, random_state=1))\n",
        -1,
    ),
    "pyod_in_sklearn": (
        "pyod",
        "from sklearn.pipeline import make_pipeline as pipe\n"
        "from sklearn.preprocessing import RobustScaler\nfrom pyod.models.ecod import ECOD\n"
        "model = pipe(RobustScaler(), ECOD())\n",
        1,
    ),
    "river": (
        "river",
        "from river import anomaly, preprocessing\n"
        "model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)\n",
        1,
    ),
}


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_a_pipeline_made_in_a_file_has_the_sign_of_its_last_step(
    name: str, tmp_path: Path, python_with: PythonWith
) -> None:
    library, code, sign = PIPELINES[name]
    (tmp_path / "mine.py").write_text(code)
    python = python_with(requirement_of(library))
    spec = f"{tmp_path / 'mine.py'}:model"
    with unfenced_session(resolve(spec), python) as session:
        assert session.open().sign == sign
    check_algorithm(spec, python=python)


@pytest.mark.parametrize(
    ("library", "spec", "words"),
    [
        ("river", "river.anomaly:GaussianScorer", "learns from a target"),
        ("river", "river.anomaly:StandardAbsoluteDeviation", "learns from a target"),
        ("scikit-learn", "sklearn.neighbors:LocalOutlierFactor", "novelty=true"),
        ("scikit-learn", "sklearn.svm:SVC", "no score of outliers"),
        ("scikit-learn", "sklearn.preprocessing:StandardScaler", "no score of outliers"),
    ],
)
def test_stock_objects_that_are_no_detectors_are_refused(
    library: str, spec: str, words: str, python_with: PythonWith
) -> None:
    python = python_with(requirement_of(library))
    with unfenced_session(resolve(spec), python) as session, pytest.raises(AlgorithmRefused, match=words):
        session.open()


def test_an_object_with_the_wrong_sign_is_refused(tmp_path: Path, python_with: PythonWith) -> None:
    (tmp_path / "mine.py").write_text(
        "from sklearn.ensemble import IsolationForest\n"
        "class Wrong:\n"
        "    def __init__(self, seed=0): self.forest = IsolationForest(random_state=seed % 2**32)\n"
        "    def fit(self, table): self.forest.fit(table)\n"
        "    def decision_function(self, table): return self.forest.decision_function(table)\n"
    )
    with pytest.raises(AssertionError, match="sign = -1"):
        check_algorithm(str(tmp_path / "mine.py"), python=python_with(requirement_of("scikit-learn")))


def test_a_stock_ranker_gets_a_frame_of_pandas(python_with: PythonWith) -> None:
    results = check_algorithm(
        "baro.root_cause_analysis:nsigma",
        {"task": "ranker", "deadline": 30},
        python=python_with(requirement_of("fse-baro")),
    )
    assert all(each.ok for each in results)


def slow_callee(seed: int) -> tuple[Case, str]:
    """A case in which a service got slow, so that all who call it did; metrics show nothing of it."""
    rng = np.random.default_rng(seed)
    names = ("metric/cpu/mean", "metric/memory/mean", "log/severity/error", "request/*/p90_ms")
    services = [f"service-{number}" for number in range(8)]
    graph = [(caller, callee) for caller, callee in itertools.pairwise(services)]
    cause = services[int(rng.integers(2, 8))]
    levels, sigmas = np.array([0.4, 2e8, 1.0, 12.0]), np.array([0.05, 5e6, 0.5, 1.5])
    features = {service: (names, np.abs(levels + sigmas * rng.normal(size=(60, 4)))) for service in services}
    for service in services[: services.index(cause) + 1]:
        features[service][1][54:, 3] += 60
    features[cause][1][54:, 2] += 5
    start_us = np.arange(60, dtype=np.int64) * 5_000_000
    return Case(alarm_us=int(start_us[54]), start_us=start_us, features=features, graph=graph), cause


def test_where_metrics_show_nothing_several_signals_find_what_baro_does_not(python_with: PythonWith) -> None:
    found = {}
    for name in ("multi-signal", "baro"):
        requires = WITH_LIBRARY[name].requires if name in WITH_LIBRARY else ()
        python = python_with(requires[0]) if requires else Path(sys.executable)
        with unfenced_session(resolve(name), python) as session:
            session.open()
            cases = [slow_callee(seed) for seed in range(12)]
            found[name] = [session.rank(case).services[0] == cause for case, cause in cases]
    assert sum(found["multi-signal"]) >= 11
    assert sum(found["baro"]) <= 6
