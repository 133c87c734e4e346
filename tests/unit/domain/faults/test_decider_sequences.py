"""Whatever happens, in whatever order, and wherever the injector is killed: the same promises hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from microservo.domain.faults.decider import InjectorState, decide
from microservo.domain.faults.decider.actions import (
    Action,
    Apply,
    Check,
    Count,
    OnInstance,
    Publish,
    Recover,
    Release,
    Schedule,
)
from microservo.domain.faults.decider.events import (
    ApplyConfirmed,
    ApplyRefused,
    ApplyUnanswered,
    Checked,
    Counted,
    Event,
    InstanceChanged,
    Judged,
    RecoveryConfirmed,
    RecoveryUnanswered,
    RequestReceived,
    Restarted,
    ShutDown,
    TargetGone,
    TargetSeen,
    TargetView,
    TimerDue,
)
from microservo.domain.faults.decider.snapshot import known_fault, reconciled
from microservo.domain.faults.lifecycle import LAST_STATES, TRANSITIONS, WHOLE
from schemas.codec import decode_as, encode
from schemas.records import FaultEvent, FaultRequest, FaultSnapshot, FaultVerdict, ServiceFault

SECOND_US = 1_000_000
FIRST_US = 1_700_000_000_000_000
INSTANCES = ("cart-0", "cart-1")
KINDS = frozenset({"network-delay", "process-kill", "noop"})
PARAMETERS = {"network-delay": {"latency": "300ms"}}
TARGET = TargetView(services={"cart": INSTANCES}, edges=frozenset({("front", "cart")}), kinds=KINDS)
ids = st.sampled_from([f"f-{number}" for number in range(8)])


class Lives(RuleBasedStateMachine):
    """one target, and the lives of injectors on it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = FIRST_US
        self.down: set[str] = set()
        self.in_force: set[tuple[str, str]] = set()
        self.confirmed: set[tuple[str, str]] = set()
        self.events: list[FaultEvent] = []
        self.service_faults: list[ServiceFault] = []
        self.snapshots: list[FaultSnapshot] = []
        self.begin()

    def begin(self) -> None:
        self.state = InjectorState(run_id="run-1")
        self.pending: list[OnInstance] = []
        self.timers: list[Schedule] = []

    @initialize()
    def see_target(self) -> None:
        self.learn(TargetSeen(now_us=self.now_us, target=replace(TARGET, down=frozenset(self.down))))

    @rule(
        fault_id=ids,
        kind=st.sampled_from(sorted(KINDS)),
        meant=st.sampled_from([(), ("cart-0",), ("cart-1",)]),
        start_s=st.sampled_from([None, 1, 30]),
        duration_s=st.integers(1, 30),
    )
    def ask(
        self, fault_id: str, kind: str, meant: tuple[str, ...], start_s: int | None, duration_s: int
    ) -> None:
        request = FaultRequest(
            fault_id=fault_id,
            action="inject",
            requested_at_us=self.now_us,
            kind=kind,
            service="cart",
            instances=meant,
            parameters=PARAMETERS.get(kind, {}),
            duration_us=duration_s * SECOND_US,
            start_at_us=None if start_s is None else self.now_us + start_s * SECOND_US,
        )
        self.learn(RequestReceived(now_us=self.now_us, request=request))
        self.learn(RequestReceived(now_us=self.now_us, request=request))

    @rule(fault_id=ids)
    def stop(self, fault_id: str) -> None:
        request = FaultRequest(fault_id=fault_id, action="stop", requested_at_us=self.now_us)
        self.learn(RequestReceived(now_us=self.now_us, request=request))

    @rule(ms=st.sampled_from([1, 60, 900, 5_000, 31_000, 200_000]))
    def wait(self, ms: int) -> None:
        self.now_us += ms * 1000
        due = sorted((each for each in self.timers if each.at_us <= self.now_us), key=lambda each: each.at_us)
        self.timers = [each for each in self.timers if each.at_us > self.now_us]
        for each in due:
            self.learn(TimerDue(now_us=self.now_us, timer=each.timer))

    @rule(which=st.integers(0, 5), how=st.sampled_from(["works", "works", "silent", "silent but done", "no"]))
    def answer(self, which: int, how: str) -> None:
        if not self.pending:
            return
        action = self.pending.pop(which % len(self.pending))
        self.now_us += 1000
        is_down = action.instance in self.down and action.wire[0] != "process-kill"
        self.learn(self.outcome(action, "silent" if is_down else how))

    @rule(ms=st.sampled_from([60, 31_000]), how=st.sampled_from(["works", "works", "silent", "no"]))
    def go_on(self, ms: int, how: str) -> None:
        """Lets time pass and all that is under way be answered in one way."""
        self.wait(ms)
        for _ in range(len(self.pending)):
            self.answer(0, how)

    @rule(instance=st.sampled_from(INSTANCES))
    def crash_instance(self, instance: str) -> None:
        self.down.add(instance)
        self.in_force = {each for each in self.in_force if each[0] != instance}
        self.learn(InstanceChanged(now_us=self.now_us, instance=instance, is_up=False))

    @rule(instance=st.sampled_from(INSTANCES))
    def start_instance(self, instance: str) -> None:
        self.down.discard(instance)
        self.learn(InstanceChanged(now_us=self.now_us, instance=instance, is_up=True))

    @rule()
    def lose_target(self) -> None:
        self.learn(TargetGone(now_us=self.now_us, problem="no target is running"))

    @rule()
    def find_target(self) -> None:
        self.see_target()

    @rule(fault_id=ids, version=st.integers(1, 3), is_final=st.booleans(), seen=st.booleans())
    def judge(self, fault_id: str, version: int, *, is_final: bool, seen: bool) -> None:
        verdict = FaultVerdict(
            run_id="run-1",
            fault_id=fault_id,
            service="cart",
            version=version,
            verdict="confirmed" if seen else "ineffective",
            effect_seen_at_us=self.now_us if seen else None,
            is_final=is_final,
        )
        self.learn(Judged(now_us=self.now_us, verdict=verdict))

    @rule(fault_id=ids, back_s=st.integers(0, 100), lasted_s=st.sampled_from([None, 1, 200]))
    def declare(self, fault_id: str, back_s: int, lasted_s: int | None) -> None:
        start_us = self.now_us - back_s * SECOND_US
        request = FaultRequest(
            fault_id=fault_id,
            action="declare",
            requested_at_us=self.now_us,
            kind="deploy",
            service="cart",
            instances=("cart-0",) if back_s % 2 else (),
            start_at_us=start_us,
            end_at_us=None if lasted_s is None else start_us + lasted_s * SECOND_US,
        )
        self.learn(RequestReceived(now_us=self.now_us, request=request))
        self.learn(RequestReceived(now_us=self.now_us, request=request))

    @rule(how=st.sampled_from(["works", "silent"]))
    def shut_down(self, how: str) -> None:
        """Ends a life in order, as far as the instances answer in time."""
        self.learn(ShutDown(now_us=self.now_us))
        self.go_on(60, how)
        self.kill(0, done=False, away_s=10)

    @rule(stored=st.integers(0, 3), done=st.booleans(), away_s=st.sampled_from([0, 10, 4000]))
    def kill(self, stored: int, *, done: bool, away_s: int) -> None:
        """Kills the injector: of the newest states some were not written, what was under way may be done."""
        for action in self.pending:
            self.act(action) if done else None
        durable = {each.fault_id: each for each in self.snapshots[: len(self.snapshots) - stored]}
        self.now_us += away_s * SECOND_US
        self.begin()
        known = [known_fault(decode_as(FaultSnapshot, encode(each))) for each in durable.values()]
        left = reconciled(known, self.events, self.service_faults)
        self.learn(Restarted(now_us=self.now_us, faults=tuple(left)))
        self.see_target()

    @invariant()
    def what_is_open_is_the_newest(self) -> None:
        for event in self.events:
            status = self.state.status(event.fault_id)
            assert status is not None
            assert status.version >= event.version

    def teardown(self) -> None:
        """From here on all goes well, so everything must come to its end."""
        for instance in sorted(self.down):
            self.start_instance(instance)
        for _ in range(400):
            while self.pending:
                self.now_us += 1000
                self.learn(self.outcome(self.pending.pop(0), "works"))
            if self.state.is_at_rest:
                break
            self.wait(5_000)
        assert self.state.is_at_rest
        assert self.in_force == set()
        newest = {(each.fault_id, each.instance): each for each in self.events}
        for (fault_id, instance), event in newest.items():
            status = self.state.status(fault_id)
            assert status is not None
            is_whole = instance == WHOLE and status.instances
            assert is_whole or event.origin == "declared" or event.state in LAST_STATES, event

    def outcome(self, action: OnInstance, how: str) -> Event:
        if how in ("works", "silent but done") or (how == "no" and not isinstance(action, Apply)):
            self.act(action)
        where = {"now_us": self.now_us, "fault_id": action.fault_id, "instance": action.instance}
        key = (action.instance, action.fault_id)
        silent = how.startswith("silent")
        if isinstance(action, Check):
            found = None if silent else key in self.in_force
            self.confirmed |= {key} if found else set()
            return Checked(**where, holds=found)  # type: ignore[arg-type]
        if isinstance(action, Count):
            return Counted(**where, acted=None if silent else self.now_us % 1000)  # type: ignore[arg-type]
        if isinstance(action, Apply):
            if how == "works":
                self.confirmed.add(key)
                return ApplyConfirmed(**where, at_us=self.now_us, evidence="in force", acted=0)  # type: ignore[arg-type]
            failed: Callable[..., Event] = ApplyUnanswered if silent else ApplyRefused
            return failed(**where, problem=how)
        if silent:
            return RecoveryUnanswered(**where, problem=how)  # type: ignore[arg-type]
        return RecoveryConfirmed(**where, at_us=self.now_us, evidence="out of force")  # type: ignore[arg-type]

    def act(self, action: OnInstance) -> None:
        key = (action.instance, action.fault_id)
        if isinstance(action, Apply) and action.instance not in self.down:
            self.in_force |= {key} if action.wire[0] != "process-kill" else set()
        elif isinstance(action, Recover):
            self.in_force.discard(key)

    def learn(self, event: Event) -> None:
        before = self.state
        self.state, actions = decide(before, event)
        assert decide(before, event) == (self.state, actions)
        for action in actions:
            self.carry_out(action)

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Publish):
            for event in action.events:
                self.check_event(event)
                self.events.append(event)
            self.service_faults += action.service_faults
            self.snapshots.append(action.snapshot)
        elif isinstance(action, Schedule):
            self.timers.append(action)
        elif isinstance(action, OnInstance):
            self.check_action(action)
            self.pending.append(action)
        else:
            assert not isinstance(action, Release) or action.instance in INSTANCES

    def check_event(self, event: FaultEvent) -> None:
        of_fault = [each for each in self.events if each.fault_id == event.fault_id]
        assert event.version == len(of_fault) + 1
        before = [each for each in of_fault if each.instance == event.instance and each.state != "rejected"]
        is_first = not before or event.state in ("requested", "rejected")
        assert is_first or event.state in TRANSITIONS[before[-1].state], (before[-1].state, event.state)
        is_applied = event.origin == "declared" or event.applied_at_us is None
        assert is_applied or (event.instance, event.fault_id) in self.confirmed

    def check_action(self, action: OnInstance) -> None:
        fault = self.state.open[action.fault_id]
        assert not fault.status.is_over
        state = fault.status.state(action.instance)
        allowed = {
            Apply: ("applying", "active"),
            Check: ("applying", "active"),
            Count: ("active",),
            Recover: ("recovering",),
        }
        assert state in allowed[type(action)]
        if not isinstance(action, Check | Count):
            others = [each for each in self.pending if not isinstance(each, Check | Count)]
            key = (action.fault_id, action.instance)
            assert key not in {(each.fault_id, each.instance) for each in others}


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


def test_a_declaration_with_an_end_to_come_is_refused_also_behind_a_crash_that_lost_the_first() -> None:
    lives = Lives()
    lives.see_target()
    lives.declare(fault_id="f-0", back_s=0, lasted_s=None)
    lives.kill(stored=1, done=False, away_s=0)
    lives.declare(fault_id="f-0", back_s=0, lasted_s=200)
    lives.teardown()
