"""What every shipped detector must do: River's conformance checks, and those telemetry teaches."""

import json
import math
import random
import statistics
from collections.abc import Callable

import pytest

from microservo.domain.detectors import ALGORITHMS, Features, PersistentDetector, make_detector
from microservo.errors import InvalidInput

Make = Callable[[], PersistentDetector]
FEATURES = ("cpu", "errors", "latency")


@pytest.fixture(params=sorted(ALGORITHMS))
def algorithm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(algorithm: str) -> Make:
    return lambda: make_detector(algorithm, seed=7, service="cart")


def normal(rng: random.Random) -> dict[str, float]:
    return {name: rng.gauss(0, 1) for name in FEATURES}


def trained(make: Make, windows: int = 300) -> PersistentDetector:
    detector = make()
    rng = random.Random(1)
    for _ in range(windows):
        x = normal(rng)
        detector.score_one(x)
        detector.learn_one(x)
    return detector


def scores(detector: PersistentDetector, stream: list[Features]) -> list[float]:
    out = []
    for x in stream:
        out.append(detector.score_one(x))
        detector.learn_one(x)
    return out


def same(left: list[float], right: list[float]) -> bool:
    return [repr(value) for value in left] == [repr(value) for value in right]


def test_it_offers_the_two_verbs_and_a_memory(make: Make) -> None:
    assert isinstance(make(), PersistentDetector)


def test_scores_are_finite_once_it_is_ready(make: Make) -> None:
    detector = trained(make)
    rng = random.Random(2)
    assert all(math.isfinite(detector.score_one(normal(rng))) for _ in range(50))


def test_scoring_changes_nothing(make: Make) -> None:
    detector = trained(make)
    x = normal(random.Random(3))
    before = json.dumps(detector.snapshot())
    first = detector.score_one(x)
    assert detector.score_one(x) == first
    assert json.dumps(detector.snapshot()) == before


def test_the_window_is_left_as_it_is(make: Make) -> None:
    detector = trained(make)
    x = normal(random.Random(3))
    copy = dict(x)
    detector.score_one(x)
    detector.learn_one(x)
    assert x == copy


def test_a_constant_feature_neither_breaks_nor_alarms(make: Make, algorithm: str) -> None:
    detector = make()
    out = scores(detector, [{"replicas": 3.0}] * 50)
    assert all(math.isfinite(score) for score in out[10:])
    if algorithm != "random":
        assert out[10:] == [0.0] * 40


def test_a_constant_feature_does_not_hide_the_others(make: Make, algorithm: str) -> None:
    if algorithm == "random":
        pytest.skip("the control knows nothing")
    detector = make()
    rng = random.Random(4)
    scores(detector, [{**normal(rng), "replicas": 3.0} for _ in range(100)])
    usual = detector.score_one({**normal(rng), "replicas": 3.0})
    assert detector.score_one({**dict.fromkeys(FEATURES, 8.0), "replicas": 3.0}) > usual


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e308, 5e-324])
def test_an_odd_value_does_not_poison_what_follows(make: Make, odd: float) -> None:
    detector = trained(make)
    for name in FEATURES:
        x = {**normal(random.Random(5)), name: odd}
        detector.score_one(x)
        detector.learn_one(x)
    assert math.isfinite(detector.score_one(normal(random.Random(6))))
    json.dumps(detector.snapshot(), allow_nan=False)


def test_missing_and_new_features_are_taken_as_they_come(make: Make) -> None:
    detector = trained(make)
    out = scores(detector, [{"cpu": 0.1}, {"cpu": 0.1, "never seen before": 1e6}, {"latency": 0.2}])
    assert all(math.isfinite(score) for score in out)


def test_an_empty_window_is_no_error(make: Make) -> None:
    detector = trained(make)
    detector.score_one({})
    detector.learn_one({})
    assert math.isfinite(detector.score_one(normal(random.Random(8))))


def test_the_same_seed_gives_the_same_scores(make: Make) -> None:
    rng = random.Random(9)
    stream: list[Features] = [normal(rng) for _ in range(100)]
    assert same(scores(make(), stream), scores(make(), stream))


def test_the_order_of_the_features_does_not_matter(make: Make) -> None:
    x = normal(random.Random(10))
    backwards = dict(reversed(x.items()))
    assert trained(make).score_one(x) == trained(make).score_one(backwards)


def test_a_window_eight_sigma_off_outscores_the_median_of_normal_ones(make: Make, algorithm: str) -> None:
    if algorithm == "random":
        pytest.skip("the control knows nothing")
    detector = trained(make, windows=700)
    rng = random.Random(11)
    median = statistics.median(detector.score_one(normal(rng)) for _ in range(50))
    assert detector.score_one(dict.fromkeys(FEATURES, 8.0)) > median
    assert detector.score_one(dict.fromkeys(FEATURES, -8.0)) > median


def test_a_memory_put_away_as_json_goes_on_where_it_stopped(make: Make) -> None:
    original = trained(make)
    copy = make()
    copy.restore(json.loads(json.dumps(original.snapshot(), allow_nan=False)))
    rng = random.Random(12)
    stream: list[Features] = [normal(rng) for _ in range(30)]
    assert same(scores(copy, stream), scores(original, stream))


@pytest.mark.parametrize("wrong", [{}, {"seed": None, "windows": 1, "features": 3}])
def test_a_foreign_memory_is_refused(make: Make, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="not a snapshot"):
        make().restore(wrong)


def test_not_ready_is_nan(algorithm: str) -> None:
    first = make_detector(algorithm).score_one({"cpu": 1.0})
    assert math.isnan(first) or algorithm == "random"


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="unknown algorithm 'oracle'; expected one of n-sigma, random"):
        make_detector("oracle")
