"""`microservo board tasks`: evaluations that an evaluator works on, now or later."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from microservo.application.evaluation_tasks import (
    ChangeTask,
    ListTasks,
    ShowTask,
    TaskChange,
    TaskStatus,
    WaitForTask,
)
from microservo.cli.completions import complete_task
from microservo.cli.output import Cell, console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.text import styled
from microservo.cli.times import date_time

if TYPE_CHECKING:
    from microservo.domain.evaluation_tasks import TaskState

_COLUMNS = ("task", "state", "algorithm", "run", "windows", "attempt", "due")
_COLOURS: dict[TaskState, str] = {
    "running": "magenta",
    "paused": "yellow",
    "done": "green",
    "interrupted": "yellow",
    "failed": "red",
}


@click.group()
def tasks() -> None:
    """See evaluations that go on beside the board; pause, resume, interrupt or rerun them.

    `microservo algorithm evaluate NAME --background` begins one. What comes of it stands on the board.

    \b
    Examples:
      microservo board tasks list
      microservo board tasks pause n-sigma-ab12cd34
      microservo board tasks show n-sigma-ab12cd34 | jq .state
    """


@tasks.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_tasks(session: Session, *, as_json: bool) -> None:
    """List all tasks, in the order in which they are due.

    \b
    Examples:
      microservo board tasks list
      microservo board tasks list --json | jq -r 'select(.state == "failed") | .task_id'
    """
    found = session.execute(ListTasks())
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        print_line("there are none; `microservo algorithm evaluate NAME --background` begins one")
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


@tasks.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_task)
@pass_session
def show(session: Session, task_id: str) -> None:
    """Show all that is known of TASK, with what came of it, as JSON.

    \b
    Examples:
      microservo board tasks show n-sigma-ab12cd34 | jq .reason
    """
    print_document(session.execute(ShowTask(task_id=task_id)))


@tasks.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_task)
@pass_session
def pause(session: Session, task_id: str) -> None:
    """Have TASK do nothing for now; what it has done is kept.

    \b
    Examples:
      microservo board tasks pause n-sigma-ab12cd34
    """
    _change(session, task_id, "pause")


@tasks.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_task)
@pass_session
def resume(session: Session, task_id: str) -> None:
    """Have TASK, which was paused, go on where it was.

    \b
    Examples:
      microservo board tasks resume n-sigma-ab12cd34
    """
    _change(session, task_id, "resume")


@tasks.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_task)
@pass_session
def interrupt(session: Session, task_id: str) -> None:
    """End TASK without a result; `rerun` begins it anew.

    \b
    Examples:
      microservo board tasks interrupt n-sigma-ab12cd34
    """
    _change(session, task_id, "interrupt")


@tasks.command()
@click.argument("task_id", metavar="TASK", shell_complete=complete_task)
@pass_session
def rerun(session: Session, task_id: str) -> None:
    """Begin TASK anew, with the version that is deployed now, whatever has become of it.

    \b
    Examples:
      microservo board tasks rerun n-sigma-ab12cd34
    """
    _change(session, task_id, "rerun")


def follow_task(session: Session, task: TaskStatus) -> TaskStatus:
    """The task once it is done, with a line that shows how far it is; Ctrl-C ends only the waiting."""
    progress = TerminalProgress(console(stderr=True))
    try:
        return session.execute(WaitForTask(task_id=task.task_id), progress)
    except KeyboardInterrupt:
        progress.note(f"{task.task_id} goes on unwatched; `microservo board tasks list` shows how far it is")
        raise


def _change(session: Session, task_id: str, change: TaskChange) -> None:
    session.execute(ChangeTask(task_id=task_id, change=change))


def _row(task: TaskStatus) -> tuple[Cell, ...]:
    state = styled(task.state, fg=_COLOURS.get(task.state))
    total = f"{task.windows_total:,}" if task.windows_total else "-"
    return (
        task.task_id,
        (state, styled(task.reason, dim=True)) if task.reason else state,
        f"{task.algorithm}@{task.algorithm_version}",
        task.run_id,
        f"{task.windows_done:,} of {total}",
        str(task.attempt),
        date_time(task.due_us),
    )
