"""Evaluation tasks: what was asked for and claimed in; claims, progress and results out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from microservo.adapters.broker import Message
from microservo.domain.evaluation_tasks import (
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
from microservo.domain.evaluation_tasks.steps import released
from microservo.errors import Unavailable
from microservo.log.evaluation_tasks import task_record
from microservo.log.publisher import Publisher
from schemas.records import EvaluationRequest, EvaluationTask
from services.evaluator.task_processes import TaskProcesses

logger = logging.getLogger(__name__)

FLUSH_S = 10.0
MOST_AT_WORK = 1
"""Tasks at once: what is judged live comes first on this machine."""


class TaskKeeper:
    """What the evaluator does about tasks; which step comes next is decided by the domain.

    Args:
        processes: of tasks.
        publisher: writes where attempts stand.
        holder: name of this evaluator, which no other one has, nor had before.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, processes: TaskProcesses, publisher: Publisher, *, holder: str, clock: Callable[[], int]
    ) -> None:
        self._processes = processes
        self._publisher = publisher
        self._holder = holder
        self._clock = clock
        self._tasks = Tasks()
        self._unread: set[str] = set()
        """Own claims that were not read back yet."""

    def handle(self, messages: Sequence[Message]) -> None:
        """Gathers what messages hold; what can't be read is logged and passed over."""
        for message in messages:
            record = task_record(message)
            if record is None:
                if message.value is not None:
                    logger.warning("%s %d can't be read", message.topic, message.offset)
                continue
            self._tasks.add(record)
            if isinstance(record, EvaluationTask):
                self._unread.discard(record.attempt_id)

    def advance(self) -> None:
        """Does what is next for each task, and returns once it is durable.

        Raises:
            Retryable: the broker is busy; what was not done yet is at the next call.
            Fatal: something could not be published.
        """
        waiting = {each.partition("/")[0] for each in self._unread}
        for task in self._tasks:
            if task.task_id in waiting:
                continue
            steps = next_steps(
                task,
                self._processes.work(task.task_id),
                holder=self._holder,
                now_us=self._clock(),
                has_room=self._has_room,
            )
            for step in steps:
                self._do(task, step)

    def close(self) -> None:
        """Ends all processes and gives their tasks back.

        Raises:
            Retryable: the broker is away; others take them over once their leases have run out.
        """
        self._processes.stop_all()
        for task in self._tasks:
            attempt = task.attempt
            is_mine = attempt is not None and attempt.holder == self._holder
            if attempt is not None and is_mine and attempt.lease_until_us is not None:
                self._publisher.publish(released(attempt, self._clock()))
        self._publisher.flush(FLUSH_S)

    @property
    def _has_room(self) -> bool:
        return self._processes.count(_is_at_work) + len(self._unread) < MOST_AT_WORK

    def _do(self, task: Task, step: Step) -> None:
        match step:
            case Publish(record):
                if record.state == "claimed":
                    self._unread.add(record.attempt_id)
                if task.attempt is None or record.state != task.attempt.state:
                    logger.info("task %s: %s %s", record.attempt_id, record.state, record.reason)
                self._publish(record)
            case Start(attempt_id, request):
                self._start(task.task_id, attempt_id, request)
            case Pause():
                self._processes.pause(task.task_id)
            case Resume():
                self._processes.resume(task.task_id)
            case Stop():
                self._processes.stop(task.task_id)

    def _start(self, task_id: str, attempt_id: str, request: EvaluationRequest) -> None:
        try:
            self._processes.start(task_id, attempt_id, request)
        except (OSError, Unavailable) as error:
            # Without a process, the attempt is given back at the next call.
            logger.error("task %s can't be begun here: %s", attempt_id, error)

    def _publish(self, record: EvaluationTask) -> None:
        """Returns once it is durable: a process is ended behind its result, not before."""
        self._publisher.publish(record)
        self._publisher.flush(FLUSH_S)


def _is_at_work(work: Work) -> bool:
    return not work.shall_pause
