"""The level of a metric that has never moved before."""

from __future__ import annotations

import numpy as np
import pytest

from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.levels import LevelBaseline
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.base import Measure
from microservo.domain.faults.symptoms import answers, gone

S = 1_000_000
SECONDS = 300


def points(from_s: int, *values: float) -> Samples:
    """One point a second."""
    at_us = (from_s + np.arange(len(values), dtype=np.int64)) * S
    size = len(values)
    return Samples(at_us, at_us, np.zeros(size, np.uint16), np.array(values), np.zeros(size, np.bool_))


@pytest.mark.parametrize(
    ("measure", "values", "least", "most"),
    [
        (answers("5xx"), (0.0, 1.0), 1e-3, 1.0),
        (answers("5xx"), (1.0, 2.0, 1.0, 1.0, 2.0), 0.0, 1e-6),
        (gone("service.downtime", 0.05), (0.0, 0.4), 0.0, 1e-6),
    ],
    ids=["one failed answer", "five seconds with failed answers", "one second in which it was away"],
)
def test_one_point_is_enough_only_of_a_metric_that_nothing_else_moves(
    measure: Measure, values: tuple[float, ...], least: float, most: float
) -> None:
    free = FreeTime(0, SECONDS * S, ())
    baseline = LevelBaseline(measure, points(0, *[0.0] * SECONDS), free, EffectPolicy())
    found = baseline.test(points(SECONDS, *values), len(values) * S)
    assert least <= found.p_value <= most
