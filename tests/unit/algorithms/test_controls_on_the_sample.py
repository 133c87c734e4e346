"""On the recording that is shipped, who knows nothing stands below all that look, on each headline metric."""

from __future__ import annotations

from functools import cache

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.sample import Sample
from microservo.algorithms.trial import Trial, try_on_sample
from microservo.algorithms.unfenced import unfenced_session

CONTROLS = ("random", "always", "never")
RANKING_METRICS = ("auc_pr", "lift_over_random", "event_recall_at_1_per_hour")
"""Headlines by which more is better, at whatever threshold."""


@cache
def sample() -> Sample:
    return Sample.read()


@cache
def tried(kind: str) -> Trial:
    with unfenced_session(resolve(kind)) as session:
        session.open()
        return try_on_sample(session, sample())


@pytest.mark.parametrize("metric", RANKING_METRICS)
@pytest.mark.parametrize("kind", ["n-sigma", "robust-z", "trace-deviation", "log-surprise"])
def test_a_detector_that_looks_stands_above_every_control(kind: str, metric: str) -> None:
    best = max(tried(control).values[metric] for control in CONTROLS)
    assert tried(kind).values[metric] > best
