"""What is done on instances, where several mechanisms can carry a kind."""

from __future__ import annotations

import pytest

from microservo.domain.faults.base import Wire
from microservo.domain.faults.decider.actions import Apply, Check, Recover, Release
from microservo.domain.faults.decider.events import (
    ApplyConfirmed,
    ApplyRefused,
    ApplyUnanswered,
    Checked,
    RecoveryConfirmed,
    RecoveryUnanswered,
    ReleaseUnanswered,
)
from microservo.errors import InvalidInput, MicroServoError, Retryable, Unavailable
from microservo.testing import ManualClock
from services.fault_injector.performing import Performer
from tests.unit.fault_injector.harness import NOW_US, FakeMechanism, FakePlatform

WIRE: Wire = ("network-delay", {"latency_us": 1})
APPLY = Apply(fault_id="f-1", instance="cart-0", wire=WIRE)
RECOVER = Recover(fault_id="f-1", instance="cart-0", wire=WIRE)
CHECK = Check(fault_id="f-1", instance="cart-0", wire=WIRE)


class Lab:
    """A platform with a first and a second mechanism for every kind."""

    def __init__(self) -> None:
        clock = ManualClock(NOW_US)
        self.first, self.second = FakeMechanism(clock, "first"), FakeMechanism(clock, "second")
        self.platform = FakePlatform(self.first, self.second)
        self.performer = Performer(self.platform, clock, lambda _: {})

    def fail(self, mechanism: FakeMechanism, verb: str, error: MicroServoError) -> None:
        mechanism.errors[verb, "cart-0"] = [error]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_what_the_first_mechanism_refuses_the_second_carries_and_recovers(lab: Lab) -> None:
    lab.fail(lab.first, "apply", InvalidInput("no such device"))
    assert isinstance(lab.performer.perform(APPLY), ApplyConfirmed)
    assert (lab.first.active, lab.second.active) == (set(), {("cart-0", "f-1")})
    assert isinstance(lab.performer.perform(RECOVER), RecoveryConfirmed)
    assert lab.second.active == set()
    assert lab.first.attempts("recover") == []


def test_what_every_mechanism_refuses_is_refused_with_each_reason(lab: Lab) -> None:
    lab.fail(lab.first, "apply", InvalidInput("no such device"))
    lab.fail(lab.second, "apply", InvalidInput("not root"))
    refused = lab.performer.perform(APPLY)
    assert isinstance(refused, ApplyRefused)
    assert refused.problem == "no such device; not root"


def test_a_kind_that_nothing_carries_is_refused_by_its_name(lab: Lab) -> None:
    lab.platform.carriers = ()
    refused = lab.performer.perform(APPLY)
    assert isinstance(refused, ApplyRefused)
    assert "nothing on the target carries network-delay" in refused.problem
    assert isinstance(lab.performer.perform(RECOVER), RecoveryUnanswered)


def test_silence_leaves_open_whether_a_fault_is_in_force(lab: Lab) -> None:
    lab.fail(lab.first, "apply", Retryable("silent"))
    lab.fail(lab.first, "holds", Retryable("silent"))
    lab.fail(lab.first, "recover", Unavailable("no target is running"))
    assert isinstance(lab.performer.perform(APPLY), ApplyUnanswered)
    checked = lab.performer.perform(CHECK)
    assert isinstance(checked, Checked)
    assert checked.holds is None
    assert isinstance(lab.performer.perform(RECOVER), RecoveryUnanswered)


def test_after_a_restart_every_mechanism_is_asked(lab: Lab) -> None:
    lab.second.active.add(("cart-0", "f-1"))
    checked = lab.performer.perform(CHECK)
    assert isinstance(checked, Checked)
    assert checked.holds
    recovered = lab.performer.perform(RECOVER)
    assert isinstance(recovered, RecoveryConfirmed)
    assert lab.second.active == set()


def test_a_mechanism_that_is_silent_keeps_no_other_from_releasing(lab: Lab) -> None:
    lab.second.active.add(("cart-0", "nobody's"))
    lab.fail(lab.first, "release", Retryable("silent"))
    again = lab.performer.perform(Release(instance="cart-0", attempts=2, at_us=0))
    assert isinstance(again, ReleaseUnanswered)
    assert again.attempts == 3
    assert lab.second.active == set()
    assert lab.performer.perform(Release(instance="cart-0", at_us=0)) is None
