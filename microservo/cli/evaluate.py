"""`microservo algorithm evaluate`: a recorded run through an algorithm, here or by an evaluator."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from microservo.application.evaluating import EvaluateAlgorithm
from microservo.application.evaluation_tasks import RequestEvaluation
from microservo.application.runs import LATEST_RUN
from microservo.cli.board import print_evaluation
from microservo.cli.board_tasks import follow_task
from microservo.cli.completions import complete_spec
from microservo.cli.declared import declared_of, declared_options, train_on_option
from microservo.cli.output import console, print_document, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.values import InstantType
from microservo.errors import InvalidInput


@click.command()
@click.argument("spec", shell_complete=complete_spec)
@click.option(
    "--run", "run_id", default=LATEST_RUN, show_default=True, metavar="RUN", help="See `runs list`."
)
@click.option(
    "--dataset",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a dataset instead of a run; needs no running system.",
)
@click.option("--from", "from_at", type=InstantType(), help="Windows that end by then are not judged.")
@click.option("--to", "to_at", type=InstantType(), help="Windows that end later are left out.")
@click.option(
    "--at", "start_at", type=InstantType(), help="Have an evaluator do it, not before this instant."
)
@click.option("--background", is_flag=True, help="Have an evaluator do it, and print the task's name.")
@declared_options
@click.option("--threshold", type=float, metavar="SCORE", help="Scores above it are alarms.")
@click.option("--unfenced", is_flag=True, help="Run it with all rights of this user.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document; `board show --file` reads it.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File that gets each score, alarm or ranking, as JSON, one a line.",
)
@train_on_option
@pass_session
def evaluate(
    session: Session,
    /,
    spec: str,
    *,
    run_id: str,
    dataset: Path | None,
    from_at: datetime | None,
    to_at: datetime | None,
    start_at: datetime | None,
    background: bool,
    threshold: float | None,
    answers: Path | None,
    train_on: str | None,
    unfenced: bool,
    as_json: bool,
    **declared: Any,
) -> None:
    """Send a recorded run through the algorithm at SPEC at full speed, and show how good it is.

    SPEC is the name of what is deployed, or as of `deploy`. What is deployed gets on its own run what stands
    on the board. Nothing is published.

    With --background or --at an evaluator does it, for what is deployed; `board tasks` shows how far it is,
    and what comes of it stands on the board. Without --background this waits for it.

    \b
    Examples:
      microservo algorithm evaluate n-sigma --run latest
      microservo algorithm evaluate ./mine.py --dataset ./dataset --json > mine.json
      microservo algorithm evaluate mine --run run-20260131-120000-ab12 --background
      microservo algorithm evaluate mine --run latest --answers scores.jsonl
      microservo algorithm evaluate mine --at +1h --background
    """
    command = EvaluateAlgorithm(
        spec=spec,
        run_id=run_id,
        dataset=dataset,
        from_at=from_at,
        to_at=to_at,
        declared=declared_of(declared),
        threshold=threshold,
        is_fenced=not unfenced,
        train_on=train_on,
        answers=answers,
    )
    if background or start_at is not None:
        task = session.execute(_task_of(command, start_at))
        if background:
            if as_json:
                print_document(task)
            else:
                print_line(task.task_id)
            return
        found = follow_task(session, task).evaluation
        assert found is not None
    else:
        found = session.execute(command, TerminalProgress(console(stderr=True)))
    if as_json:
        print_document(found)
    else:
        print_evaluation(found)


def _task_of(command: EvaluateAlgorithm, start_at: datetime | None) -> RequestEvaluation:
    """The same for an evaluator, which knows what is deployed, and runs."""
    given = {
        "--dataset": command.dataset is not None,
        "--threshold": command.threshold is not None,
        "--unfenced": not command.is_fenced,
        "--answers": command.answers is not None,
        "--train-on": command.train_on is not None,
        "what it declares": bool(command.declared),
    }
    if odd := [name for name, is_given in given.items() if is_given]:
        msg = f"{', '.join(odd)} can't go with --at or --background; leave these out, or deploy it so"
        raise InvalidInput(msg)
    return RequestEvaluation(
        name=command.spec,
        run_id=command.run_id,
        from_at=command.from_at,
        to_at=command.to_at,
        start_at=start_at,
    )
