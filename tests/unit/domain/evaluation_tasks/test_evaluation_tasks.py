"""Evaluation tasks under every order of requests, crashes, stalls and takeovers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.evaluation_tasks import (
    Outcome,
    Pause,
    Publish,
    Resume,
    Start,
    Step,
    Stop,
    Task,
    Tasks,
    Work,
    next_steps,
)
from microservo.domain.evaluation_tasks.attempts import LEASE_US, MOST_ATTEMPTS
from schemas.records import EvaluationAction, EvaluationRequest, EvaluationTask

S = 1_000_000
T = 1_769_860_800 * S
TOTAL = 100
RESULT = b"result"


def request(action: EvaluationAction, at_us: int = T, *, start_at_us: int | None = None) -> EvaluationRequest:
    return EvaluationRequest(
        task_id="task",
        action=action,
        requested_at_us=at_us,
        algorithm="n-sigma",
        algorithm_version=1,
        run_id="run-1",
        start_at_us=start_at_us,
    )


def fold(requests: Iterable[EvaluationRequest], attempts: Iterable[EvaluationTask]) -> Task:
    tasks = Tasks()
    for asked in requests:
        tasks.add(asked)
    for said in attempts:
        tasks.add(said)
    task = tasks.get("task")
    assert task is not None
    return task


def compacted(log: Sequence[EvaluationTask], keep: int = 0) -> list[EvaluationTask]:
    """What the broker may leave: the newest of each attempt, and of the others some, as the bits say."""
    newest = {record.attempt_id: place for place, record in enumerate(log)}
    return [
        record
        for place, record in enumerate(log)
        if newest[record.attempt_id] == place or keep >> (place % 16) & 1
    ]


@dataclass
class World:
    """Both logs and the clock."""

    now_us: int = T
    requests: list[EvaluationRequest] = field(default_factory=lambda: [request("evaluate")])
    attempts: list[EvaluationTask] = field(default_factory=list)

    def ask(self, action: EvaluationAction) -> None:
        self.requests.append(request(action, self.now_us))

    @property
    def task(self) -> Task:
        return fold(self.requests, self.attempts)


class Evaluator:
    """As `services.evaluator` does it, with processes of which nothing is left but how far they are."""

    def __init__(self, world: World, name: str, *, keep: int = 0) -> None:
        self.world = world
        self.name = name
        self.work: Work | None = None
        self.decided: list[Step] = []
        self._pending = ""
        self._tasks = Tasks()
        self._read = 0
        # What another one wrote before this one began may be compacted.
        self._begun = len(world.attempts)
        for record in compacted(world.attempts, keep):
            self._tasks.add(record)
        self._attempts_read = self._begun

    def read(self, requests: int = 1_000, attempts: int = 1_000) -> None:
        """Reads on, maybe not all that is there."""
        if self.decided:
            return
        for asked in self.world.requests[self._read : self._read + requests]:
            self._tasks.add(asked)
            self._read += 1
        for said in self.world.attempts[self._attempts_read : self._attempts_read + attempts]:
            self._tasks.add(said)
            self._attempts_read += 1
            if said.attempt_id == self._pending:
                self._pending = ""

    def decide(self) -> None:
        task = self._tasks.get("task")
        if task is not None and not self._pending and not self.decided:
            has_room = self.work is None or self.work.shall_pause
            self.decided = list(
                next_steps(task, self.work, holder=self.name, now_us=self.world.now_us, has_room=has_room)
            )

    def act(self) -> None:
        """Does what it had decided, maybe long ago."""
        for step in self.decided:
            self._do(step)
        self.decided = []

    def progress(self, outcome: Outcome | None = None) -> None:
        if self.work is None or self.work.outcome is not None:
            return
        if self.work.shall_pause:
            self.work = replace(self.work, is_paused=True)
        else:
            done = min(TOTAL, self.work.windows_done + 10)
            self.work = replace(self.work, windows_done=done, windows_total=TOTAL, outcome=outcome)

    def round(self) -> None:
        self.read()
        self.decide()
        self.act()

    def _do(self, step: Step) -> None:
        match step:
            case Publish(record):
                self.world.attempts.append(record)
                if record.state == "claimed":
                    self._pending = record.attempt_id
            case Start(attempt_id, _):
                self.work = Work(attempt_id=attempt_id)
            case Pause() | Resume():
                assert self.work is not None
                self.work = replace(self.work, shall_pause=isinstance(step, Pause), is_paused=False)
            case Stop():
                self.work = None


def settle(world: World, evaluator: Evaluator, seconds: int = 200) -> None:
    """Time goes by, while one evaluator works as long as there is anything to do."""
    for _ in range(seconds):
        world.now_us += S
        for _ in range(3):
            evaluator.round()
        evaluator.progress(Outcome(evaluation=RESULT) if evaluator.work else None)


ACTIONS: tuple[EvaluationAction, ...] = ("pause", "resume", "interrupt", "rerun")
EVENTS = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(ACTIONS)),
    st.tuples(st.sampled_from(["read", "decide", "act", "crash", "die", "progress"]), st.integers(0, 1)),
    # What leads far is drawn often.
    st.tuples(st.sampled_from(["round", "begin", "end"]), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, LEASE_US // S])),
    st.tuples(st.just("keep"), st.integers(0, 2**16 - 1)),
)


def play(events: Sequence[tuple[str, object]]) -> tuple[World, list[Task]]:
    """What is on the logs after some events, and what a reader of all saw after each of them."""
    world, keep, number = World(), 0, 0
    evaluators = [Evaluator(world, name) for name in "ab"]
    seen = []
    for what, value in events:
        if what == "ask":
            world.ask(value)  # type: ignore[arg-type]
        elif what == "wait":
            world.now_us += int(value) * S  # type: ignore[call-overload]
        elif what == "keep":
            keep = int(value)  # type: ignore[call-overload]
        else:
            place = int(value)  # type: ignore[call-overload]
            evaluator = evaluators[place]
            if what == "crash":
                evaluators[place] = Evaluator(world, f"{'ab'[place]}{number}", keep=keep)
                number += 1
            elif what == "read":
                evaluator.read(1, 1)
            elif what == "die":
                evaluator.progress(Outcome(reason="killed", is_final=False))
            elif what == "end":
                evaluator.progress(Outcome(evaluation=RESULT))
            elif what == "begin":
                evaluator.round()
                evaluator.round()
            else:
                getattr(evaluator, what)()
        seen.append(world.task)
    return world, seen


@given(st.lists(EVENTS, max_size=80))
def test_an_end_stays_the_end_until_a_rerun_and_only_one_holders_result_counts(
    events: list[tuple[str, object]],
) -> None:
    _, seen = play(events)
    for before, later in pairwise(seen):
        if before.is_over and later.wish.round == before.wish.round:
            assert later.attempt == before.attempt


@given(st.lists(EVENTS, max_size=80))
def test_whatever_happened_a_task_ends_or_can_be_rerun(events: list[tuple[str, object]]) -> None:
    world, _ = play(events)
    wanted = world.task.wish.wanted
    last = Evaluator(world, "last")
    if wanted == "pause":
        world.ask("resume")
    settle(world, last)
    state = world.task.state(world.now_us)
    assert state in {"done", "failed", "interrupted"}
    if wanted == "interrupt":
        assert state != "failed"
    world.ask("rerun")
    settle(world, last)
    assert world.task.state(world.now_us) == "done"
    assert world.task.attempt is not None
    assert (world.task.attempt.holder, world.task.attempt.evaluation) == ("last", RESULT)


@given(st.lists(EVENTS, max_size=80), st.integers(0, 2**16 - 1))
def test_who_reads_a_compacted_log_finds_the_same_end(events: list[tuple[str, object]], keep: int) -> None:
    world, seen = play(events)
    if seen and seen[-1].is_over:
        assert fold(world.requests, compacted(world.attempts, keep)).attempt == seen[-1].attempt


@given(st.lists(EVENTS, max_size=80))
def test_a_pause_keeps_what_was_done(events: list[tuple[str, object]]) -> None:
    world, _ = play(events)
    done: dict[str, int] = {}
    for record in world.attempts:
        if record.state in ("running", "paused"):
            assert record.windows_done >= done.get(record.attempt_id, 0)
            done[record.attempt_id] = record.windows_done


def test_a_task_goes_from_scheduled_to_done() -> None:
    world = World(requests=[request("evaluate", start_at_us=T + 60 * S)])
    evaluator = Evaluator(world, "a")
    evaluator.round()
    assert (world.task.state(T), world.attempts) == ("scheduled", [])
    world.now_us = T + 60 * S
    assert world.task.state(world.now_us) == "waiting"
    evaluator.round()
    assert world.task.state(world.now_us) == "waiting"
    evaluator.round()
    assert world.task.state(world.now_us) == "running"
    evaluator.progress(Outcome(evaluation=RESULT))
    evaluator.round()
    assert world.task.state(world.now_us) == "done"
    assert [record.state for record in world.attempts] == ["claimed", "running", "done"]


def test_of_two_who_claim_at_once_one_works() -> None:
    world = World()
    one, other = Evaluator(world, "a"), Evaluator(world, "b")
    for evaluator in (one, other):
        evaluator.read()
        evaluator.decide()
    for evaluator in (other, one):
        evaluator.act()
    for _ in range(3):
        one.round()
        other.round()
    assert (one.work is None, other.work is None) == (True, False)
    assert world.task.attempt is not None
    assert world.task.attempt.holder == "b"


def test_what_the_old_holder_says_after_a_takeover_counts_for_nothing() -> None:
    world = World()
    old, new = Evaluator(world, "old"), Evaluator(world, "new")
    old.round()
    old.round()
    old.progress(Outcome(evaluation=b"late"))
    old.read()
    old.decide()
    world.now_us += LEASE_US
    new.round()
    assert world.task.state(world.now_us) == "waiting"
    old.act()
    new.round()
    assert (world.task.state(world.now_us), new.work is not None) == ("running", True)
    new.progress(Outcome(evaluation=RESULT))
    new.round()
    assert world.task.attempt is not None
    assert (world.task.attempt.evaluation, world.task.attempt.attempt) == (RESULT, 2)
    old.round()
    assert old.work is None


def test_a_claim_that_comes_behind_an_end_counts_for_nothing() -> None:
    world = World()
    one, late = Evaluator(world, "one"), Evaluator(world, "late")
    one.round()
    one.round()
    late.read()
    world.now_us += LEASE_US
    late.decide()
    one.progress(Outcome(evaluation=RESULT))
    one.round()
    late.act()
    for _ in range(3):
        late.round()
    assert late.work is None
    assert fold(world.requests, compacted(world.attempts)).state(world.now_us) == "done"


def test_what_never_comes_to_an_end_is_given_up_with_its_reason() -> None:
    world = World()
    evaluator = Evaluator(world, "a")
    for _ in range(30):
        evaluator.round()
        evaluator.progress(Outcome(reason="its process ended by SIGKILL", is_final=False))
    task = world.task
    assert task.attempt is not None
    assert task.state(world.now_us) == "failed"
    assert task.attempt.reason == (
        f"begun {MOST_ATTEMPTS} times, it never came to an end; the last time: its process ended by SIGKILL"
    )


def test_what_an_evaluator_gives_back_in_order_is_no_attempt() -> None:
    from microservo.domain.evaluation_tasks.steps import released  # noqa: PLC0415

    world = World()
    for number in range(2 * MOST_ATTEMPTS):
        evaluator = Evaluator(world, f"e{number}")
        evaluator.round()
        evaluator.round()
        assert world.task.attempt is not None
        world.attempts.append(released(world.task.attempt, world.now_us))
        assert world.task.state(world.now_us) == "waiting"
    last = Evaluator(world, "last")
    last.round()
    assert world.task.attempt is not None
    assert (world.task.attempt.fence, world.task.attempt.attempt) == (2 * MOST_ATTEMPTS + 1, 1)


def test_a_lease_of_a_clock_that_was_wrong_holds_nobody_up() -> None:
    world = World()
    Evaluator(world, "a").round()
    world.attempts[-1] = replace(world.attempts[-1], lease_until_us=T + 365 * 86_400 * S)
    other = Evaluator(world, "b")
    other.round()
    other.round()
    assert other.work is not None


@pytest.mark.parametrize("keep", [0, 2**16 - 1])
def test_a_paused_task_goes_on_where_it_was(keep: int) -> None:
    world = World()
    evaluator = Evaluator(world, "a", keep=keep)
    evaluator.round()
    evaluator.round()
    evaluator.progress()
    world.ask("pause")
    evaluator.round()
    evaluator.progress()
    evaluator.round()
    assert world.task.state(world.now_us) == "paused"
    for _ in range(5 * LEASE_US // S):
        world.now_us += S
        evaluator.round()
    assert world.task.state(world.now_us) == "paused"
    world.ask("resume")
    evaluator.round()
    assert world.task.state(world.now_us) == "running"
    assert evaluator.work is not None
    assert evaluator.work.windows_done == 10
    assert {record.fence for record in world.attempts} == {1}


def test_an_interruption_of_what_nobody_works_on_is_written_down() -> None:
    world = World(requests=[request("evaluate", start_at_us=T + 3600 * S)])
    world.ask("interrupt")
    assert world.task.state(world.now_us) == "interrupted"
    assert not world.task.is_over
    evaluator = Evaluator(world, "a")
    evaluator.round()
    evaluator.round()
    assert world.task.is_over
    world.ask("resume")
    assert world.task.state(world.now_us) == "interrupted"


def test_requests_that_mean_nothing_change_nothing() -> None:
    tasks = Tasks()
    for action in ("pause", "resume", "interrupt"):
        tasks.add(request(action))
    assert tasks.get("task") is None
    tasks.add(request("evaluate"))
    tasks.add(request("evaluate"))
    task = tasks.get("task")
    assert task is not None
    assert task.wish.round == 1
