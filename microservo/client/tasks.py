"""`client.tasks`."""

from __future__ import annotations

from datetime import datetime

from microservo.application.command import Context
from microservo.application.evaluation_tasks import (
    ChangeTask,
    ListTasks,
    RequestEvaluation,
    ShowTask,
    TaskStatus,
    WaitForTask,
)
from microservo.application.runs import LATEST_RUN
from microservo.application.table import execute


class EvaluationTasks:
    """Have what is deployed evaluated on recorded runs, now or later; pause, resume, interrupt, rerun."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def request(
        self,
        name: str,
        run_id: str = LATEST_RUN,
        *,
        from_at: datetime | None = None,
        to_at: datetime | None = None,
        start_at: datetime | None = None,
    ) -> TaskStatus:
        """Has an evaluator send a recorded run through an algorithm, and returns the task.

        Args:
            name: under which it is deployed.
            run_id: one of `client.runs.list`, or "latest".
            from_at: windows that end by then are learned from, but not judged.
            to_at: windows that end later are left out.
            start_at: when it may begin; now if not given.

        Raises:
            InvalidInput: there is no such deployment or run, or no time between from and to.
        """
        command = RequestEvaluation(name=name, run_id=run_id, from_at=from_at, to_at=to_at, start_at=start_at)
        return execute(command, self._context)

    def list(self) -> tuple[TaskStatus, ...]:
        """All tasks, in the order in which they are due."""
        return execute(ListTasks(), self._context)

    def show(self, task_id: str) -> TaskStatus:
        """Where a task stands.

        Raises:
            InvalidInput: there is none of this identity.
        """
        return execute(ShowTask(task_id=task_id), self._context)

    def wait(self, task_id: str) -> TaskStatus:
        """Waits until a task is done.

        Raises:
            InvalidInput: there is none of this identity.
            MicroServoError: it failed or was interrupted; with the reason.
            Unavailable: nobody works on it.
        """
        return execute(WaitForTask(task_id=task_id), self._context)

    def pause(self, task_id: str) -> TaskStatus:
        """Has a task do nothing for now; what it has done is kept.

        Raises:
            InvalidInput: there is none of this identity, or it is over.
        """
        return execute(ChangeTask(task_id=task_id, change="pause"), self._context)

    def resume(self, task_id: str) -> TaskStatus:
        """Has a task that was paused go on where it was. Raises as `pause`."""
        return execute(ChangeTask(task_id=task_id, change="resume"), self._context)

    def interrupt(self, task_id: str) -> TaskStatus:
        """Ends a task without a result. Raises as `pause`."""
        return execute(ChangeTask(task_id=task_id, change="interrupt"), self._context)

    def rerun(self, task_id: str) -> TaskStatus:
        """Begins a task anew, with the version that is deployed now, whatever has become of it.

        Raises:
            InvalidInput: there is none of this identity, or its algorithm is deployed no longer.
        """
        return execute(ChangeTask(task_id=task_id, change="rerun"), self._context)
