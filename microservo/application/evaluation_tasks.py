"""What can be asked for about evaluation tasks: evaluations that an evaluator works on, now or later."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from microservo.application.algorithms import named_deployment
from microservo.application.command import Command, Context
from microservo.application.runs import LATEST_RUN, ListRuns, list_runs, run_id_of
from microservo.domain.evaluation_tasks import Task, Tasks, TaskState
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from schemas.codec import decode_as
from schemas.records import Evaluation, EvaluationRequest

TaskChange = Literal["pause", "resume", "interrupt", "rerun"]

_POLL_S = 0.3
_SILENCE_S = 60.0
"""An evaluator that has nothing else to do begins within a second."""
_FLUSH_S = 30.0
_MEANINGLESS: dict[TaskChange, tuple[TaskState, ...]] = {
    "pause": ("interrupted", "done", "failed"),
    "resume": ("interrupted", "done", "failed"),
    "interrupt": ("done", "failed"),
    "rerun": (),
}
"""In which states a change would never have an effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """Where an evaluation task stands.

    Attributes:
        task_id: its identity.
        state: scheduled, waiting, running, paused, interrupted, done or failed.
        reason: why it failed; empty otherwise.
        algorithm: name of the deployed algorithm.
        algorithm_version: version of its deployment.
        run_id: the run whose windows it is given.
        from_us: windows that end by then are learned from, but not judged; None for none.
        to_us: windows that end later are left out; None for none.
        due_us: when it may begin.
        requested_at_us: when it was asked for first.
        round: how often it was asked for: 1, and one more with each rerun.
        attempt: how many attempts were begun in this round.
        holder: evaluator that works on it, or did last; empty before the first.
        windows_done: windows that it was given.
        windows_total: windows that there are; 0 where that isn't known yet.
        evaluation: what came of it; None unless it is done.
    """

    task_id: str
    state: TaskState
    reason: str
    algorithm: str
    algorithm_version: int
    run_id: str
    from_us: int | None
    to_us: int | None
    due_us: int
    requested_at_us: int
    round: int
    attempt: int
    holder: str
    windows_done: int
    windows_total: int
    evaluation: Evaluation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvaluation(Command[TaskStatus]):
    """Asks for an evaluation of what is deployed, as of `EvaluateAlgorithm`, by an evaluator and not here.

    Attributes:
        name: under which it is deployed.
        run_id: one of `ListRuns`, or "latest".
        from_at: as of `EvaluateAlgorithm`.
        to_at: likewise.
        start_at: when it may begin; now if not given.
    """

    name: str
    run_id: str = LATEST_RUN
    from_at: datetime | None = None
    to_at: datetime | None = None
    start_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasks(Command[tuple[TaskStatus, ...]]):
    """Asks for all evaluation tasks, in the order in which they are due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowTask(Command[TaskStatus]):
    """Asks for one task, by its identity."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTask(Command[TaskStatus]):
    """Asks for a change of a task: to pause, go on where it was, end, or begin anew.

    Attributes:
        task_id: its identity.
        change: pause, resume, interrupt or rerun; a rerun is of the version that is deployed by then.
    """

    task_id: str
    change: TaskChange


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForTask(Command[TaskStatus]):
    """Asks to wait until a task is over."""

    task_id: str


def request_evaluation(command: RequestEvaluation, context: Context) -> TaskStatus:
    """The task as it stands then.

    Raises:
        InvalidInput: there is no such deployment or run, or no time between from and to; nothing was sent.
        Retryable: the broker is away for now.
    """
    deployment = named_deployment(command.name, context)
    run_id = _known_run(command.run_id, context)
    from_us, to_us = _us(command.from_at), _us(command.to_at)
    if from_us is not None and to_us is not None and from_us >= to_us:
        msg = f"from {command.from_at} to {command.to_at} there is no time; give an end behind the begin"
        raise InvalidInput(msg)
    request = EvaluationRequest(
        task_id=f"{deployment.algorithm}-{secrets.token_hex(4)}",
        action="evaluate",
        requested_at_us=context.clock(),
        algorithm=deployment.algorithm,
        algorithm_version=deployment.version,
        run_id=run_id,
        from_us=from_us,
        to_us=to_us,
        start_at_us=_us(command.start_at),
    )
    return _sent(request, context)


def list_tasks(_command: ListTasks, context: Context) -> tuple[TaskStatus, ...]:
    """The tasks.

    Raises:
        Retryable: the broker is away for now.
    """
    from microservo.log.evaluation_tasks import read_tasks  # noqa: PLC0415  # loads NumPy

    connection = context.connection
    now_us = context.clock()
    return tuple(_status(task, now_us) for task in read_tasks(connection.broker, connection.topic_prefix))


def show_task(command: ShowTask, context: Context) -> TaskStatus:
    """The task.

    Raises:
        InvalidInput: there is none of this identity.
    """
    known = {each.task_id: each for each in list_tasks(ListTasks(), context)}
    if command.task_id not in known:
        newest = ", ".join(list(known)[-5:]) or "none yet"
        msg = f"there is no evaluation task {command.task_id!r}; the newest are: {newest}"
        raise InvalidInput(msg)
    return known[command.task_id]


def change_task(command: ChangeTask, context: Context) -> TaskStatus:
    """The task as it stands then; the change follows within a second.

    Raises:
        InvalidInput: there is none of this identity, it is over, or it can't be rerun since its algorithm is
            deployed no longer; nothing was sent.
        Retryable: the broker is away for now.
    """
    known = show_task(ShowTask(task_id=command.task_id), context)
    if known.state in _MEANINGLESS[command.change]:
        msg = (
            f"evaluation task {known.task_id} is {known.state}, so there is nothing to {command.change}; "
            f"`microservo board tasks rerun {known.task_id}` begins it anew"
        )
        raise InvalidInput(msg)
    now_us = context.clock()
    if command.change != "rerun":
        return _sent(
            EvaluationRequest(task_id=known.task_id, action=command.change, requested_at_us=now_us), context
        )
    request = EvaluationRequest(
        task_id=known.task_id,
        action="rerun",
        requested_at_us=now_us,
        algorithm=known.algorithm,
        algorithm_version=named_deployment(known.algorithm, context).version,
        run_id=known.run_id,
        from_us=known.from_us,
        to_us=known.to_us,
    )
    return _sent(request, context)


def wait_for_task(command: WaitForTask, context: Context) -> TaskStatus:
    """The task once it is done.

    Raises:
        InvalidInput: there is none of this identity.
        MicroServoError: it failed or was interrupted; with the reason.
        Unavailable: it is due, and nobody works on it.
    """
    from microservo.log.evaluation_tasks import FollowedTasks  # noqa: PLC0415  # loads NumPy

    status = show_task(ShowTask(task_id=command.task_id), context)
    silent_s = time.monotonic() + _SILENCE_S
    connection = context.connection
    with (
        context.progress.stage(f"evaluation task {command.task_id}") as stage,
        FollowedTasks(connection.broker, connection.topic_prefix) as followed,
    ):
        while status.state not in ("done", "failed", "interrupted"):
            stage.show(status.state)
            stage.advance(status.windows_done, status.windows_total)
            if status.state != "waiting" or _is_anything_at_work(followed.tasks, context):
                silent_s = time.monotonic() + _SILENCE_S
            elif time.monotonic() > silent_s:
                msg = f"nobody works on {command.task_id} for {_SILENCE_S:g} s; does an evaluator run?"
                raise Unavailable(msg)
            followed.poll(_POLL_S)
            task = followed.tasks.get(command.task_id)
            assert task is not None
            status = _status(task, context.clock())
        stage.show(status.state)
    if status.state != "done":
        reason = f": {status.reason}" if status.reason else ""
        msg = f"evaluation task {command.task_id} is {status.state}{reason}"
        raise MicroServoError(msg)
    return status


def _is_anything_at_work(tasks: Tasks, context: Context) -> bool:
    """Whether an evaluator may only be busy with another task."""
    return any(each.state(context.clock()) == "running" for each in tasks)


def _known_run(name: str, context: Context) -> str:
    run_id = run_id_of(name, context)
    known = [each.run_id for each in list_runs(ListRuns(), context)]
    if run_id not in known:
        msg = f"there is no run {run_id!r}; `microservo runs list` shows those that are"
        raise InvalidInput(msg)
    return run_id


def _sent(request: EvaluationRequest, context: Context) -> TaskStatus:
    """Sends a request, and how its task stands then."""
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        publisher.publish(request)
        publisher.flush(_FLUSH_S)
    return show_task(ShowTask(task_id=request.task_id), context)


def _status(task: Task, now_us: int) -> TaskStatus:
    request, attempt = task.wish.request, task.current
    return TaskStatus(
        task_id=task.task_id,
        state=task.state(now_us),
        reason="" if attempt is None else attempt.reason,
        algorithm=request.algorithm,
        algorithm_version=request.algorithm_version,
        run_id=request.run_id,
        from_us=request.from_us,
        to_us=request.to_us,
        due_us=task.wish.due_us,
        requested_at_us=task.wish.first_at_us,
        round=task.wish.round,
        attempt=0 if attempt is None else attempt.attempt,
        holder="" if attempt is None else attempt.holder,
        windows_done=0 if attempt is None else attempt.windows_done,
        windows_total=0 if attempt is None else attempt.windows_total,
        evaluation=decode_as(Evaluation, attempt.evaluation) if attempt and attempt.evaluation else None,
    )


def _us(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1e6)
