"""What one evaluator does next about one task: pure, so that every order of crashes can be tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from microservo.domain.evaluation_tasks.attempts import (
    ENDED,
    LEASE_US,
    MOST_ATTEMPTS,
    PROGRESS_US,
    RENEW_US,
    is_held,
)
from microservo.domain.evaluation_tasks.task import Task
from schemas.records import AttemptState, EvaluationRequest, EvaluationTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a process ended.

    Attributes:
        evaluation: framed; empty where there is none.
        reason: why there is none.
        is_final: whether another attempt would end alike.
    """

    evaluation: bytes = b""
    reason: str = ""
    is_final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A process that works on a task here, and how far it is.

    Attributes:
        attempt_id: which it is of.
        windows_done: that it was given so far.
        windows_total: that there are; 0 where that isn't known yet.
        shall_pause: whether it was told to.
        is_paused: whether it does nothing by now.
        outcome: None while it goes on.
    """

    attempt_id: str
    windows_done: int = 0
    windows_total: int = 0
    shall_pause: bool = False
    is_paused: bool = False
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """Say where the attempt stands."""

    record: EvaluationTask


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a process that carries out the request for this attempt."""

    attempt_id: str
    request: EvaluationRequest


@dataclass(frozen=True, slots=True)
class Pause:
    """Have the process do nothing until it is told to go on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Have the process go on where it was."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process, whatever it does, and forget what it found."""


Step = Publish | Start | Pause | Resume | Stop


def next_steps(task: Task, work: Work | None, *, holder: str, now_us: int, has_room: bool) -> Iterator[Step]:
    """The steps of an evaluator, in order.

    Args:
        task: as far as its topics were read; an own claim that was published was read, too.
        work: the process for it that runs here, if any.
        holder: name of this evaluator, which no other one has, nor had before.
        now_us: a reading of the clock, in microseconds UTC.
        has_room: whether one more process may be at work here.
    """
    attempt = task.attempt
    if attempt is not None and attempt.round > task.wish.round:
        # The request for it will be read in a moment.
        return
    is_mine = attempt is not None and attempt.holder == holder and attempt.round == task.wish.round
    if work is not None and (not is_mine or attempt is None or work.attempt_id != attempt.attempt_id):
        yield Stop()
    elif attempt is not None and is_mine and attempt.state not in (*ENDED, "released"):
        yield from _of_mine(task, attempt, work, now_us=now_us, has_room=has_room)
    elif work is not None:
        yield Stop()
    elif _may_be_claimed(task, now_us, has_room=has_room):
        yield Publish(_claim(task, holder, now_us))


def released(attempt: EvaluationTask, now_us: int, reason: str = "") -> EvaluationTask:
    """The attempt given back, so that another one begins at once; with a reason it counts as one."""
    return _said(attempt, now_us, state="released", reason=reason, lease_until_us=None)


def _of_mine(
    task: Task, attempt: EvaluationTask, work: Work | None, *, now_us: int, has_room: bool
) -> Iterator[Step]:
    wanted = task.wish.wanted
    if wanted == "interrupt":
        if work is not None:
            yield Stop()
        yield Publish(_ended(attempt, now_us, work, state="interrupted"))
    elif work is None:
        yield from _begin(task, attempt, now_us)
    elif work.outcome is not None:
        yield Publish(_after(attempt, work, work.outcome, now_us))
        yield Stop()
    elif wanted == "pause":
        if not work.shall_pause:
            yield Pause()
        state: AttemptState = "paused" if work.is_paused else "running"
        yield from _renew(attempt, work, now_us, state=state)
    elif work.shall_pause and has_room:
        yield Resume()
        yield from _renew(attempt, work, now_us, state="running")
    else:
        yield from _renew(attempt, work, now_us, state="paused" if work.shall_pause else "running")


def _begin(task: Task, attempt: EvaluationTask, now_us: int) -> Iterator[Step]:
    """The first steps of a claim that counts."""
    if attempt.state != "claimed":
        yield Publish(released(attempt, now_us, "no process could be started for it"))
    elif task.wish.wanted == "pause":
        yield Publish(released(attempt, now_us))
    elif attempt.attempt > MOST_ATTEMPTS:
        last = f"; the last time: {attempt.reason}" if attempt.reason else ""
        reason = f"begun {MOST_ATTEMPTS} times, it never came to an end{last}"
        yield Publish(_ended(attempt, now_us, None, state="failed", reason=reason))
    else:
        yield Publish(_said(attempt, now_us, state="running", reason="", lease_until_us=now_us + LEASE_US))
        yield Start(attempt.attempt_id, task.wish.request)


def _renew(attempt: EvaluationTask, work: Work, now_us: int, *, state: AttemptState) -> Iterator[Publish]:
    """Says that it is still worked on, and how far it is, if it is time or its state is another one."""
    since_us = now_us - attempt.updated_at_us
    has_gone_on = work.windows_done != attempt.windows_done
    if state == attempt.state and 0 <= since_us < (PROGRESS_US if has_gone_on else RENEW_US):
        return
    yield Publish(
        _said(
            attempt,
            now_us,
            state=state,
            lease_until_us=now_us + LEASE_US,
            windows_done=work.windows_done,
            windows_total=work.windows_total,
        )
    )


def _after(attempt: EvaluationTask, work: Work, outcome: Outcome, now_us: int) -> EvaluationTask:
    if outcome.evaluation:
        return _ended(attempt, now_us, work, state="done", evaluation=outcome.evaluation)
    if outcome.is_final:
        return _ended(attempt, now_us, work, state="failed", reason=outcome.reason)
    return released(attempt, now_us, outcome.reason)


def _ended(attempt: EvaluationTask, now_us: int, work: Work | None, **changes: Any) -> EvaluationTask:
    if work is not None:
        changes |= {"windows_done": work.windows_done, "windows_total": work.windows_total}
    return _said(attempt, now_us, lease_until_us=None, **changes)


def _said(attempt: EvaluationTask, now_us: int, **changes: Any) -> EvaluationTask:
    return replace(attempt, updated_at_us=now_us, **changes)


def _may_be_claimed(task: Task, now_us: int, *, has_room: bool) -> bool:
    attempt = task.current
    if attempt is not None and (attempt.state in ENDED or is_held(attempt, now_us)):
        return False
    if task.wish.wanted == "run":
        return has_room and now_us >= task.wish.due_us
    # An interruption is written down, so that nobody's late result comes after it.
    return task.wish.wanted == "interrupt"


def _claim(task: Task, holder: str, now_us: int) -> EvaluationTask:
    request, before = task.wish.request, task.current
    fence = 1 if task.attempt is None else task.attempt.fence + 1
    number, reason = 1, ""
    if before is not None:
        was_given_back = before.state == "released" and not before.reason
        number = before.attempt + (0 if was_given_back else 1)
        reason = before.reason or ("" if was_given_back else f"{before.holder} was heard of no more")
    return EvaluationTask(
        attempt_id=f"{task.task_id}/{fence}/{holder}",
        task_id=task.task_id,
        round=task.wish.round,
        fence=fence,
        attempt=number,
        holder=holder,
        state="claimed",
        reason=reason,
        lease_until_us=now_us + LEASE_US,
        algorithm=request.algorithm,
        algorithm_version=request.algorithm_version,
        run_id=request.run_id,
        windows_done=0,
        windows_total=0,
        evaluation=b"",
        updated_at_us=now_us,
    )
