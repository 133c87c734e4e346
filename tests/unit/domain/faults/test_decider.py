"""Single decisions, where an order of events is hard to bring about in a process."""

from __future__ import annotations

from dataclasses import replace

from microservo.domain.faults.base import Wire
from microservo.domain.faults.decider import Action, Event, InjectorState, decide
from microservo.domain.faults.decider.actions import Apply, Check, Publish, Recover, Release, Schedule
from microservo.domain.faults.decider.events import (
    ApplyConfirmed,
    Checked,
    InstanceChanged,
    RecoveryUnanswered,
    ReleaseUnanswered,
    RequestReceived,
    TargetSeen,
    TargetView,
    Timer,
    TimerDue,
)
from schemas.records import FaultRequest

REQUEST = FaultRequest(
    fault_id="f-1",
    action="inject",
    requested_at_us=0,
    kind="network-delay",
    service="cart",
    parameters={"latency": "300ms"},
    duration_us=10_000_000,
)
TARGET = TargetView(services={"cart": ("cart-0",)}, kinds=frozenset({"network-delay"}))
APPLY_DUE = TimerDue(now_us=1, timer=Timer(task="apply", fault_id="f-1"))
CONFIRMED = ApplyConfirmed(now_us=2, fault_id="f-1", instance="cart-0", at_us=2, evidence="in force")
DUE = TimerDue(now_us=3, timer=Timer(task="recover", fault_id="f-1", instance="cart-0"))
DOWN = InstanceChanged(now_us=2, instance="cart-0", is_up=False)
WIRE: Wire = ("network-delay", {"latency_us": 300_000, "jitter_us": 0, "peer": ""})
UP = InstanceChanged(now_us=2, instance="cart-0", is_up=True)


def after(*events: Event) -> tuple[InjectorState, list[Action]]:
    """The state after the events, and what the last of them leads to."""
    state = InjectorState(run_id="run-1")
    actions: tuple[Action, ...] = ()
    for event in (TargetSeen(now_us=0, target=TARGET), RequestReceived(now_us=0, request=REQUEST), *events):
        state, actions = decide(state, event)
    return state, [action for action in actions if not isinstance(action, Publish)]


def kinds(actions: list[Action]) -> set[type]:
    return {type(action) for action in actions}


def test_what_is_published_comes_before_what_is_done() -> None:
    state, _ = after()
    _, actions = decide(state, APPLY_DUE)
    assert [type(action) for action in actions] == [Publish, Apply]


def test_a_fault_on_one_instance_with_labels_touches_no_other() -> None:
    carts = ("cart-0", "cart-1", "cart-2")
    target = replace(
        TARGET, services={"cart": carts}, labels={each: {"track": "canary"} for each in carts[1:]}
    )
    state, _ = decide(InjectorState(run_id="run-1"), TargetSeen(now_us=0, target=target))
    request = replace(REQUEST, mode="one", labels={"track": "canary"})
    state, _ = decide(state, RequestReceived(now_us=0, request=request))
    _, actions = decide(state, APPLY_DUE)
    (hit,) = [each.instance for each in actions if isinstance(each, Apply)]
    assert hit in carts[1:]


def test_an_instance_that_restarts_while_a_fault_is_applied_is_asked_for_it_afterwards() -> None:
    assert Check not in kinds(after(APPLY_DUE, DOWN, UP)[1])
    assert Check in kinds(after(APPLY_DUE, DOWN, UP, CONFIRMED)[1])
    assert Check not in kinds(after(APPLY_DUE, CONFIRMED)[1])


def test_an_answer_of_the_process_before_does_not_count() -> None:
    lost = Checked(now_us=3, fault_id="f-1", instance="cart-0", holds=False)
    assert Check in kinds(after(APPLY_DUE, CONFIRMED, UP, DOWN, UP)[1])
    assert Apply in kinds(after(APPLY_DUE, CONFIRMED, UP, DOWN, UP, lost)[1])


def test_a_silent_instance_that_is_down_is_asked_when_it_is_up() -> None:
    silent = RecoveryUnanswered(now_us=4, fault_id="f-1", instance="cart-0", problem="silent")
    assert kinds(after(APPLY_DUE, CONFIRMED, DUE, silent)[1]) == {Schedule}
    assert after(APPLY_DUE, CONFIRMED, DUE, DOWN, silent)[1] == []
    assert kinds(after(APPLY_DUE, CONFIRMED, DUE, DOWN, silent, UP)[1]) == {Recover}


def test_an_instance_that_left_the_target_is_asked_once_more() -> None:
    silent = RecoveryUnanswered(now_us=4, fault_id="f-1", instance="cart-0", problem="silent")
    gone = TargetSeen(now_us=5, target=TargetView(services={"cart": ("cart-1",)}))
    actions = after(APPLY_DUE, CONFIRMED, DUE, DOWN, silent, gone)[1]
    assert Recover(fault_id="f-1", instance="cart-0", wire=WIRE) in actions


def test_the_recovery_of_what_is_gone_for_good_is_tried_again_for_nothing_will_say_that_it_is_up() -> None:
    silent = RecoveryUnanswered(now_us=4, fault_id="f-1", instance="cart-0", problem="not replaced yet")
    gone = TargetSeen(now_us=2, target=TargetView(services={"cart": ("cart-1",)}))
    assert kinds(after(APPLY_DUE, CONFIRMED, gone, DOWN, DUE, silent)[1]) == {Schedule}


def test_instances_are_asked_once_what_no_fault_owns_and_again_if_silent() -> None:
    state, actions = decide(InjectorState(run_id="run-1"), TargetSeen(now_us=0, target=TARGET))
    assert actions == (Release(instance="cart-0", at_us=0),)
    assert decide(state, TargetSeen(now_us=1, target=TARGET))[1] == ()
    again = decide(state, ReleaseUnanswered(now_us=1, instance="cart-0", attempts=1))[1]
    assert again == (Release(instance="cart-0", attempts=1, at_us=1_000_001),)
