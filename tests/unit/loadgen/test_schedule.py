from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from microservo.domain.topology import Journey, Step
from microservo.errors import InvalidInput
from services.loadgen.schedule import Arrival, arrivals

JOURNEYS = tuple(
    Journey(name=name, weight=weight, steps=(Step(endpoint="Page"),))
    for name, weight in (("rare", 1), ("often", 9))
)


def first(count: int, seed: int) -> list[Arrival]:
    return list(islice(arrivals(JOURNEYS, seed), count))


def test_the_same_seed_gives_the_same_arrivals_and_journeys() -> None:
    assert first(500, seed=7) == first(500, seed=7)


def test_the_same_request_of_another_run_with_the_same_seed_has_the_same_trace_id() -> None:
    ids = [arrival.trace_ids for arrival in first(500, seed=7)]
    assert ids == [arrival.trace_ids for arrival in first(500, seed=7)]
    assert len(set(ids) | {arrival.trace_ids for arrival in first(500, seed=8)}) == 1000
    assert all(0 < trace_id < 2**128 for (trace_id,) in ids)


def test_another_seed_gives_other_arrivals() -> None:
    assert first(10, seed=7) != first(10, seed=8)


def test_the_gaps_are_exponential_with_mean_one() -> None:
    gaps = sorted(arrival.gap for arrival in first(4000, seed=1))
    assert sum(gaps) / len(gaps) == pytest.approx(1.0, rel=0.05)
    assert gaps[len(gaps) // 2] == pytest.approx(0.693, rel=0.05)


def test_journeys_come_by_their_weights() -> None:
    counts = Counter(arrival.journey.name for arrival in first(4000, seed=1))
    assert counts["often"] / 4000 == pytest.approx(0.9, abs=0.02)


def test_a_topology_without_journeys_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no journeys"):
        arrivals((), seed=1)
