"""When it is time to act: streaks, cooldown."""

from __future__ import annotations

import numpy as np
import pytest

from microservo.domain.rules import (
    HOST_STREAKS,
    SERVICE_STREAKS,
    Condition,
    Decided,
    EntityKind,
    Measurements,
    Membership,
    Outcome,
    Rule,
    StreakPolicy,
    Streaks,
    evaluate,
)
from microservo.errors import InvalidInput

SECOND_US = 1_000_000
NAMES: tuple[Decided, ...] = ("none", "replicate", "migrate", "stop")


class Scene:
    """Containers or hosts whose cpu-% is the number of what is decided for them."""

    def __init__(self, kind: EntityKind, decisions: tuple[Decided, ...]) -> None:
        self.measurements = Measurements(kind, ["cpu-%"])
        self.decisions = decisions
        self.second = 0
        self._rules = [
            Rule(
                name=decision,
                scope="host" if kind == "host" else "service",
                generic=True,
                decision=decision,
                conditions=(Condition(field="cpu-%", mode="effective", operator="==", value=float(number)),),
            )
            for number, decision in enumerate(decisions)
        ]

    def decide(self, **decided: Decided) -> Outcome:
        self.second += 1
        slots = np.array([self.measurements.add(name) for name in decided])
        values = np.array([float(self.decisions.index(each)) for each in decided.values()])
        self.measurements.record("cpu-%", slots, values, np.full(len(slots), self.second * SECOND_US))
        return self.again()

    def again(self) -> Outcome:
        return evaluate(self._rules, self.measurements, Membership())

    @property
    def now_us(self) -> int:
        return self.second * SECOND_US


def first_time(scene: Scene, streaks: Streaks, decision: Decided) -> int:
    for time in range(1, 10):
        if streaks.update(scene.decide(a=decision), scene.now_us).tolist() == [0]:
            return time
    return 0


def test_hosts_act_after_3_and_3_in_a_row_services_after_2_2_and_3() -> None:
    hosts: tuple[Decided, ...] = ("none", "overload", "underload")
    assert [first_time(Scene("host", hosts), Streaks(HOST_STREAKS), each) for each in hosts] == [0, 3, 3]
    found = [first_time(Scene("container", NAMES), Streaks(SERVICE_STREAKS), each) for each in NAMES]
    assert found == [0, 2, 2, 3]


def test_the_numbers_can_be_edited() -> None:
    streaks = Streaks(StreakPolicy(needed={"stop": 5}))
    assert first_time(Scene("container", NAMES), streaks, "stop") == 5
    assert first_time(Scene("container", NAMES), streaks, "replicate") == 0


def test_another_decision_in_between_begins_the_count_anew() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    found = []
    for decision in ("stop", "stop", "none", "stop", "stop", "stop"):
        found.append(len(streaks.update(scene.decide(a=decision), scene.now_us)))
    assert found == [0, 0, 0, 0, 0, 1]


def test_each_container_has_a_streak_of_its_own() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    streaks.update(scene.decide(a="replicate", b="none"), scene.now_us)
    ready = streaks.update(scene.decide(a="replicate", b="replicate", c="migrate"), scene.now_us)
    assert ready.tolist() == [0]
    assert streaks.count.tolist() == [2, 1, 1]


def test_an_evaluation_without_a_new_measurement_is_not_one_more_in_a_row() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    streaks.update(scene.decide(a="replicate"), scene.now_us)
    for _ in range(5):
        assert not len(streaks.update(scene.again(), scene.now_us))
    assert len(streaks.update(scene.decide(a="replicate"), scene.now_us)) == 1


def test_simulated_values_are_new_at_every_instant() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    scene.measurements.add("a")
    scene.measurements.simulate(np.array([[3.0]]))
    found = [streaks.update(scene.again(), second * SECOND_US).tolist() for second in (1, 2, 2, 3)]
    assert found == [[], [], [], [0]]


def test_a_container_that_came_after_the_outcome_has_nothing_to_begin_anew() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    streaks.update(scene.decide(a="replicate"), scene.now_us)
    streaks.acted(np.array([0, scene.measurements.add("b")]), scene.now_us)
    assert streaks.count.tolist() == [0]


def test_after_an_action_the_count_begins_anew_and_the_container_cools_down() -> None:
    scene, streaks = (
        Scene("container", NAMES),
        Streaks(StreakPolicy(needed={"replicate": 2}, cooldown_us=5 * SECOND_US)),
    )
    for _ in range(2):
        ready = streaks.update(scene.decide(a="replicate", b="replicate"), scene.now_us)
    assert ready.tolist() == [0, 1]
    streaks.acted(np.array([0]), scene.now_us)
    found = []
    for _ in range(5):
        found.append(streaks.update(scene.decide(a="replicate", b="replicate"), scene.now_us).tolist())
    # Acted on in second 2; b was not, and is still due.
    assert found == [[1], [1], [1], [1], [0, 1]]
    assert streaks.count.tolist() == [5, 7]


def test_without_a_cooldown_a_decision_is_due_again_after_the_same_streak() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(StreakPolicy(needed={"stop": 1}, cooldown_us=0))
    for _ in range(3):
        assert streaks.update(scene.decide(a="stop"), scene.now_us).tolist() == [0]
        streaks.acted(np.array([0]), scene.now_us)


def test_a_new_container_in_a_slot_inherits_neither_streak_nor_cooldown() -> None:
    scene, streaks = Scene("container", NAMES), Streaks(SERVICE_STREAKS)
    for _ in range(2):
        streaks.update(scene.decide(a="replicate"), scene.now_us)
    streaks.acted(np.array([0]), scene.now_us)
    scene.measurements.remove("a")
    assert not len(streaks.update(scene.decide(b="replicate"), scene.now_us))
    assert streaks.update(scene.decide(b="replicate"), scene.now_us).tolist() == [0]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (StreakPolicy(needed={"stop": 0}), "stop can't be acted on after 0 times in a row; give 1 or more"),
        (StreakPolicy(needed={"none": 1}), "'none' is never acted on; give numbers for overload"),
        (StreakPolicy(needed={}, cooldown_us=-1), "a cooldown of -1 us"),
    ],
)
def test_numbers_that_can_not_be_are_refused(policy: StreakPolicy, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        Streaks(policy)
