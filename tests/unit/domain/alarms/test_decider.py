from __future__ import annotations

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.alarms import AlarmDecider, Calibration, Decision, Threshold

S = 1_000_000
SIZE_US = 5 * S
FAULT_FREE_US = 20 * SIZE_US
SERVICES = ("ads", "cart", "frontend")


def decider(threshold: Threshold | None = None) -> AlarmDecider:
    return AlarmDecider(
        "n-sigma",
        calibration=Calibration(window_us=SIZE_US),
        fault_free_until_us=FAULT_FREE_US,
        threshold=threshold,
    )


def quiet(decided: AlarmDecider) -> None:
    rng = Random(1)
    for number in range(1, 21):
        for service in SERVICES:
            decided.add(service, number * SIZE_US, rng.random())


def test_alarms_come_only_after_the_fault_free_time_and_above_what_was_seen_in_it() -> None:
    decided = decider()
    quiet(decided)
    assert list(decided.advance(FAULT_FREE_US)) == []
    assert decided.threshold is None
    decided.add("cart", FAULT_FREE_US + SIZE_US, 50.0)
    decided.add("ads", FAULT_FREE_US + SIZE_US, 0.5)
    (decision,) = decided.advance(FAULT_FREE_US + SIZE_US)
    assert decided.threshold is not None
    assert (decision.alarm.service, decision.alarm.opened_us) == ("cart", FAULT_FREE_US + SIZE_US)
    assert decision.case is not None
    assert decision.case.service == "cart"


def test_nothing_is_decided_before_the_windows_of_all_services_are_there() -> None:
    decided = decider()
    quiet(decided)
    decided.add("cart", FAULT_FREE_US + 2 * SIZE_US, 50.0)
    assert list(decided.advance(FAULT_FREE_US + SIZE_US)) == []
    assert len(list(decided.advance(FAULT_FREE_US + 2 * SIZE_US))) == 1


def test_with_too_little_fault_free_time_there_is_no_threshold_and_no_alarm() -> None:
    decided = decider()
    decided.add("cart", SIZE_US, 1.0)
    decided.add("cart", FAULT_FREE_US + SIZE_US, 1e9)
    assert list(decided.advance(FAULT_FREE_US + SIZE_US)) == []
    assert decided.threshold is None


def test_an_algorithm_with_a_threshold_of_its_own_needs_no_fault_free_scores() -> None:
    decided = decider(Threshold.fixed(0.5))
    decided.add("cart", FAULT_FREE_US + SIZE_US, 0.6)
    assert [each.alarm.threshold for each in decided.advance(FAULT_FREE_US + SIZE_US)] == [0.5]


@given(st.randoms(use_true_random=False), st.lists(st.floats(0, 3), min_size=30, max_size=30))
def test_decisions_are_the_same_in_whatever_order_the_scores_of_services_came(
    chance: Random, values: list[float]
) -> None:
    scores = [
        (service, FAULT_FREE_US + (number // 3 + 1) * SIZE_US, value)
        for number, (value, service) in enumerate(zip(values, SERVICES * 10, strict=True))
    ]

    def decisions(order: list[tuple[str, int, float]], steps: list[int]) -> list[Decision]:
        decided = decider(Threshold.fixed(1.5))
        for each in order:
            decided.add(*each)
        return [decision for step in steps for decision in decided.advance(FAULT_FREE_US + step * SIZE_US)]

    mixed = chance.sample(scores, len(scores))
    assert decisions(scores, [10]) == decisions(mixed, [1, 2, 5, 10])


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 5.0]), min_size=90, max_size=90), st.integers(1, 29))
def test_one_that_goes_on_from_a_snapshot_decides_as_if_nothing_was(values: list[float], split: int) -> None:
    scores = [
        (service, (number // 3 + 1) * SIZE_US, value)
        for number, (value, service) in enumerate(zip(values, SERVICES * 30, strict=True))
    ]

    def run(decided: AlarmDecider, begin: int, end: int) -> list[Decision]:
        found: list[Decision] = []
        for number in range(begin, end):
            for each in scores[3 * number : 3 * number + 3]:
                decided.add(*each)
            found += decided.advance((number + 1) * SIZE_US)
        return found

    whole = run(decider(), 0, 30)
    first, second = decider(), decider()
    parts = run(first, 0, split)
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert parts + run(second, split, 30) == whole
