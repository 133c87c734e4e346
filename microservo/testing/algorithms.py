"""What every detector keeps to: River's conformance checks, and those that telemetry needs.

A check is given what makes a new detector; each one that it makes must be the same, seed and all.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
from collections.abc import Callable, Sequence

from microservo.domain.detectors import Detector, Features, PersistentDetector, is_control
from microservo.errors import InvalidInput
from microservo.testing.checks import checks_in, refused, run_checks

Make = Callable[[], Detector]
_NAMES = ("cpu", "errors", "latency")
_FOREIGN: tuple[dict[str, object], ...] = ({}, {"seed": None, "windows": 1, "features": 3})


def it_offers_the_two_verbs(make: Make) -> None:
    detector = make()
    assert callable(detector.score_one)
    assert callable(detector.learn_one)


def the_first_score_is_a_number_or_nan(make: Make) -> None:
    assert isinstance(make().score_one({"cpu": 1.0}), float)


def scores_are_finite_once_it_is_ready(make: Make) -> None:
    detector = _trained(make)
    rng = random.Random(2)
    assert all(math.isfinite(detector.score_one(_normal(rng))) for _ in range(50))


def scoring_changes_nothing(make: Make) -> None:
    detector = _trained(make)
    x = _normal(random.Random(3))
    before = _memory(detector)
    first = detector.score_one(x)
    assert detector.score_one(x) == first
    assert _memory(detector) == before


def the_window_is_left_as_it_is(make: Make) -> None:
    detector = _trained(make)
    x = _normal(random.Random(3))
    copy = dict(x)
    detector.score_one(x)
    detector.learn_one(x)
    assert x == copy


def a_constant_feature_neither_breaks_nor_alarms(make: Make) -> None:
    out = _scores(make(), [{"replicas": 3.0}] * 50)[10:]
    assert all(math.isfinite(score) for score in out)
    assert max(out) <= out[0]


def a_constant_feature_does_not_hide_the_others(make: Make) -> None:
    detector = make()
    if is_control(detector):
        return
    rng = random.Random(4)
    _scores(detector, [{**_normal(rng), "replicas": 3.0} for _ in range(100)])
    usual = detector.score_one({**_normal(rng), "replicas": 3.0})
    assert detector.score_one({**dict.fromkeys(_NAMES, 8.0), "replicas": 3.0}) > usual


def an_odd_value_does_not_poison_what_follows(make: Make) -> None:
    for odd in (math.nan, math.inf, -math.inf, 1e308, 5e-324):
        detector = _trained(make)
        for name in _NAMES:
            x = {**_normal(random.Random(5)), name: odd}
            detector.score_one(x)
            detector.learn_one(x)
        assert math.isfinite(detector.score_one(_normal(random.Random(6)))), odd
        _memory(detector)


def missing_and_new_features_are_taken_as_they_come(make: Make) -> None:
    stream = [{"cpu": 0.1}, {"cpu": 0.1, "never seen before": 1e6}, {"latency": 0.2}]
    assert all(math.isfinite(score) for score in _scores(_trained(make), stream))


def an_empty_window_is_no_error(make: Make) -> None:
    detector = _trained(make)
    detector.score_one({})
    detector.learn_one({})
    assert math.isfinite(detector.score_one(_normal(random.Random(8))))


def the_same_seed_gives_the_same_scores(make: Make) -> None:
    rng = random.Random(9)
    stream = [_normal(rng) for _ in range(100)]
    assert _same(_scores(make(), stream), _scores(make(), stream))


def the_order_of_the_features_does_not_matter(make: Make) -> None:
    x = _normal(random.Random(10))
    backwards = dict(reversed(x.items()))
    assert _trained(make).score_one(x) == _trained(make).score_one(backwards)


def a_window_eight_sigma_off_outscores_the_median_of_normal_ones(make: Make) -> None:
    if is_control(make()):
        return
    detector = _trained(make, windows=700)
    rng = random.Random(11)
    median = statistics.median(detector.score_one(_normal(rng)) for _ in range(50))
    assert detector.score_one(dict.fromkeys(_NAMES, 8.0)) > median
    assert detector.score_one(dict.fromkeys(_NAMES, -8.0)) > median


def a_memory_put_away_as_json_goes_on_where_it_stopped(make: Make) -> None:
    original, copy = _trained(make), make()
    if not isinstance(original, PersistentDetector) or not isinstance(copy, PersistentDetector):
        return
    copy.restore(json.loads(_memory(original)))
    rng = random.Random(12)
    stream = [_normal(rng) for _ in range(30)]
    assert _same(_scores(copy, stream), _scores(original, stream))


def a_foreign_memory_is_refused(make: Make) -> None:
    for foreign in _FOREIGN:
        detector = make()
        if isinstance(detector, PersistentDetector):
            with refused(InvalidInput, "not a snapshot"):
                detector.restore(foreign)


CHECKS = checks_in(sys.modules[__name__])
"""Each is given what makes a new detector."""


def check_detector(make: Make) -> None:
    """Runs all checks on a detector.

    One whose memory survives the process (`PersistentDetector`) is held to what that means; one that knows
    nothing on purpose (`is_control`) need not tell an anomaly from a normal window.

    Args:
        make: gives a new detector; each must be the same as the others.

    Raises:
        ExceptionGroup: what does not hold.

    Example:
        >>> from microservo.domain.detectors import NSigma
        >>> check_detector(NSigma)
    """
    run_checks(CHECKS, lambda: (make,))


def _normal(rng: random.Random) -> dict[str, float]:
    return {name: rng.gauss(0, 1) for name in _NAMES}


def _trained(make: Make, windows: int = 300) -> Detector:
    detector = make()
    rng = random.Random(1)
    _scores(detector, [_normal(rng) for _ in range(windows)])
    return detector


def _scores(detector: Detector, stream: Sequence[Features]) -> list[float]:
    out = []
    for x in stream:
        out.append(detector.score_one(x))
        detector.learn_one(x)
    return out


def _memory(detector: Detector) -> str:
    """The memory as JSON, "" where there is none that can be put away."""
    if not isinstance(detector, PersistentDetector):
        return ""
    return json.dumps(detector.snapshot(), allow_nan=False)


def _same(left: Sequence[float], right: Sequence[float]) -> bool:
    return [repr(value) for value in left] == [repr(value) for value in right]
