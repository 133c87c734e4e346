"""What is next while a campaign runs: pure, from the plan and what its journal has.

A fault begins when its time has come, and when all that was planned to be over before it is over, quiet time
and all. What takes longer than planned, or a crash, puts off the rest; nothing is left out and nothing moves
closer together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from microservo.domain.campaigns.plan import CampaignPlan, PlannedStep
from schemas.records import CampaignEvent

GRACE_US = 60_000_000
"""How much longer than planned a fault may take until it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCourse:
    """What became of a fault so far; instants in epoch microseconds.

    Attributes:
        requested_at_us: when.
        over_at_us: when it was over; None while it is not.
    """

    requested_at_us: int
    over_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far a campaign is.

    Attributes:
        began_at_us: when it began, in epoch microseconds; None before.
        steps: by number, those that were requested.
        entries: how many entries the journal has.
    """

    began_at_us: int | None = None
    steps: Mapping[int, StepCourse] = field(default_factory=dict)
    entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """This fault is to be requested now."""

    step: PlannedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """There is nothing to do until an instant, in epoch microseconds, or until a fault is over."""

    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A fault is not over though it should have been long ago."""

    step: PlannedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """All is done."""


Next = Begin | Wait | Stuck | Finished


def course_of(journal: Iterable[CampaignEvent]) -> Course:
    """How far a campaign is by its journal.

    A fault that was entered and then not requested, for who did so was killed in between, is entered again.
    """
    began_at_us: int | None = None
    steps: dict[int, StepCourse] = {}
    entries = 0
    for entry in journal:
        entries = max(entries, entry.number)
        if entry.event == "began" and began_at_us is None:
            began_at_us = entry.at_us
        elif entry.event == "requested" and not _is_over(steps.get(entry.step)):
            steps[entry.step] = StepCourse(requested_at_us=entry.at_us)
        elif entry.event == "over" and entry.step in steps and steps[entry.step].over_at_us is None:
            steps[entry.step] = replace(steps[entry.step], over_at_us=entry.at_us)
    return Course(began_at_us=began_at_us, steps=steps, entries=entries)


def delayed_us(plan: CampaignPlan, course: Course) -> int:
    """How much later than planned the fault that was requested last began; what follows is as much later."""
    if course.began_at_us is None or not course.steps:
        return 0
    last = max(course.steps)
    return max(0, course.steps[last].requested_at_us - course.began_at_us - plan.steps[last - 1].at_us)


def next_action(plan: CampaignPlan, course: Course, now_us: int) -> Next:
    """What is next of a campaign that has begun."""
    assert course.began_at_us is not None
    origin_us = course.began_at_us + delayed_us(plan, course)
    open_steps = [step for step in plan.steps if _is_open(course, step)]
    for step in open_steps:
        if now_us > stuck_from_us(step, course):
            return Stuck(step=step)
    following = next((step for step in plan.steps if step.number not in course.steps), None)
    if following is None:
        end_us = max([origin_us + plan.lasts_us, *(_quiet_us(plan.steps, course))])
        return Finished() if not open_steps and now_us >= end_us else Wait(until_us=end_us)
    before = [step for step in plan.steps if step.quiet_at_us <= following.at_us]
    begin_us = max([origin_us + following.at_us, *_quiet_us(before, course)])
    if now_us >= begin_us and not any(_is_open(course, step) for step in before):
        return Begin(step=following)
    return Wait(until_us=begin_us)


def stuck_from_us(step: PlannedStep, course: Course) -> int:
    """From when on a fault that was requested and is not over never will be, in epoch microseconds."""
    return course.steps[step.number].requested_at_us + step.duration_us + GRACE_US


def not_requested(journal: Iterable[CampaignEvent]) -> frozenset[int]:
    """Numbers of the entries whose fault was entered and not requested then: it was entered again later."""
    found: set[int] = set()
    entered: dict[int, int] = {}
    for entry in journal:
        if entry.event == "over":
            entered.pop(entry.step, None)
        elif entry.event == "requested":
            found.update({entered[entry.step]} if entry.step in entered else ())
            entered[entry.step] = entry.number
    return frozenset(found)


def _is_over(course: StepCourse | None) -> bool:
    return course is not None and course.over_at_us is not None


def _is_open(course: Course, step: PlannedStep) -> bool:
    found = course.steps.get(step.number)
    return found is not None and found.over_at_us is None


def _quiet_us(steps: Sequence[PlannedStep], course: Course) -> list[int]:
    """When the quiet time after each of those that are over ends."""
    over = ((step, course.steps.get(step.number)) for step in steps)
    return [
        found.over_at_us + step.gap_us
        for step, found in over
        if found is not None and found.over_at_us is not None
    ]
