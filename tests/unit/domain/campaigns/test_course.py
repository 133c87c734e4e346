"""What is next while a campaign runs, and after a crash: no fault is lost, doubled or moved closer."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.course import (
    GRACE_US,
    Begin,
    Course,
    Finished,
    StepCourse,
    Stuck,
    Wait,
    course_of,
    delayed_us,
    next_action,
    not_requested,
)
from microservo.domain.campaigns.definition import SECOND_US, Definition
from microservo.domain.campaigns.plan import CampaignPlan, one_after_another, plan_campaign
from microservo.domain.campaigns.target import CampaignTarget
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.topology_files import read_topology
from schemas.records import CampaignEvent

ORIGIN_US = 1_800_000_000_000_000
PLAN = one_after_another(
    "two",
    7,
    "t",
    [
        CampaignFault(kind="cpu-hog", service="a", parameters={}, duration_s=10, gap_s=5),
        CampaignFault(kind="cpu-hog", service="b", parameters={}, duration_s=10, gap_s=5),
    ],
)


def at(seconds: float) -> int:
    return ORIGIN_US + round(seconds * SECOND_US)


def course(*steps: tuple[float, float | None]) -> Course:
    """By when each step was requested, and over."""
    return Course(
        began_at_us=ORIGIN_US,
        steps={
            number: StepCourse(requested_at_us=at(requested), over_at_us=None if over is None else at(over))
            for number, (requested, over) in enumerate(steps, start=1)
        },
    )


def test_faults_begin_when_their_time_has_come() -> None:
    assert next_action(PLAN, course(), at(0)) == Begin(step=PLAN.steps[0])
    assert next_action(PLAN, course((0, None)), at(3)) == Wait(until_us=at(15))
    assert next_action(PLAN, course((0, 10)), at(15)) == Begin(step=PLAN.steps[1])
    assert next_action(PLAN, course((0, 10), (15, 25)), at(30)) == Finished()


def test_a_fault_that_takes_longer_puts_the_next_off_by_its_quiet_time() -> None:
    assert next_action(PLAN, course((0, None)), at(17)) == Wait(until_us=at(15))
    late = course((0, 17))
    assert next_action(PLAN, late, at(18)) == Wait(until_us=at(22))
    assert next_action(PLAN, late, at(22)) == Begin(step=PLAN.steps[1])


def test_a_crash_of_ten_minutes_moves_the_rest_and_leaves_nothing_out() -> None:
    assert next_action(PLAN, course((0, 10)), at(600)) == Begin(step=PLAN.steps[1])
    resumed = course((0, 10), (600, None))
    assert delayed_us(PLAN, resumed) == 585 * SECOND_US
    assert next_action(PLAN, resumed, at(611)) == Wait(until_us=at(615))


def test_a_fault_that_is_never_over_is_told() -> None:
    assert isinstance(next_action(PLAN, course((0, None)), at(10) + GRACE_US), Wait)
    assert next_action(PLAN, course((0, None)), at(10) + GRACE_US + 1) == Stuck(step=PLAN.steps[0])


def test_a_fault_that_was_entered_again_counts_from_then_on_and_once_it_is_over_no_more() -> None:
    def entry(number: int, event: str, seconds: float, step: int = 0) -> CampaignEvent:
        return CampaignEvent(
            campaign_id="c",
            number=number,
            at_us=at(seconds),
            event=event,  # type: ignore[arg-type]
            step=step,
        )

    found = course_of(
        [
            entry(1, "started", -5),
            entry(2, "began", 0),
            entry(3, "requested", 1, 1),
            entry(3, "requested", 2, 1),
            entry(4, "resumed", 3),
            entry(5, "over", 11, 1),
            entry(6, "over", 12, 1),
            entry(7, "requested", 13, 1),
        ]
    )
    assert found == replace(course((2, 11)), entries=7)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), concurrency=st.integers(1, 3))
def test_with_any_delays_and_crashes_each_fault_begins_once_in_order_and_apart(
    seed: int, concurrency: int
) -> None:
    rng = random.Random(seed)
    plan = plan_campaign(
        Definition(name="any", count=12, concurrency=concurrency, warm_up_us=SECOND_US),
        CampaignTarget.of(read_topology("online-boutique")),
        kinds_of_local_targets(),
        seed,
    )
    done = simulated(plan, rng)
    assert list(done) == [step.number for step in plan.steps]
    for step in plan.steps:
        begun_us = done[step.number].requested_at_us
        assert begun_us >= ORIGIN_US + step.at_us
        for before in plan.steps:
            if before.quiet_at_us <= step.at_us:
                over_us = done[before.number].over_at_us
                assert over_us is not None
                assert begun_us >= over_us + before.gap_us


def simulated(plan: CampaignPlan, rng: random.Random) -> dict[int, StepCourse]:
    """What a runner does that looks every 0.1 s, but for times in which there is none."""
    now_us, steps = ORIGIN_US, dict[int, StepCourse]()
    ends_us: dict[int, int] = {}
    while True:
        for number, end_us in ends_us.items():
            if end_us <= now_us and steps[number].over_at_us is None:
                steps[number] = replace(steps[number], over_at_us=end_us)
        found = next_action(plan, Course(began_at_us=ORIGIN_US, steps=steps), now_us)
        if isinstance(found, Finished):
            return steps
        assert not isinstance(found, Stuck)
        if isinstance(found, Begin):
            assert found.step.number not in steps
            steps[found.step.number] = StepCourse(requested_at_us=now_us)
            late_us = rng.choice((0, 0, 300_000, 5 * SECOND_US))
            ends_us[found.step.number] = now_us + found.step.duration_us + late_us
        # No longer than the grace, for a fault that nobody saw end would be taken for stuck.
        now_us += rng.choice((100_000,) * 99 + (30 * SECOND_US,))


def test_what_was_entered_and_not_requested_before_a_crash_is_told_from_what_was() -> None:
    def entered(number: int, event: Literal["requested", "over", "resumed"], step: int) -> CampaignEvent:
        return CampaignEvent(campaign_id="c", number=number, at_us=at(number), event=event, step=step)

    journal = [entered(1, "requested", 1), entered(2, "over", 1), entered(3, "requested", 2)]
    assert not_requested(journal) == frozenset()
    again = [*journal, entered(4, "resumed", 0), entered(5, "requested", 2)]
    assert not_requested(again) == {3}
    assert course_of(again).steps[2].requested_at_us == at(5)
    assert not_requested([*again, entered(6, "over", 2), entered(7, "requested", 2)]) == {3}
