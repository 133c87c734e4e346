"""`microservo runs`: the runs that the log holds."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.application.runs import ListRuns
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.times import date_time
from schemas.records import Experiment


@click.group()
def runs() -> None:
    """Show the runs that the log holds.

    \b
    Example:
      microservo runs list
    """


@runs.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@pass_session
def list_runs(session: Session, *, as_json: bool) -> None:
    """List all runs, oldest first.

    \b
    Examples:
      microservo runs list
      microservo runs list --json | jq -r .run_id
    """
    found = session.execute(ListRuns())
    if as_json:
        for run in found:
            print_document(run)
        return
    if not found:
        print_line("no runs yet; `microservo demo` makes one")
        return
    rows = [
        (run.run_id, run.status, run.target, str(run.seed), date_time(run.started_at_us), _took(run))
        for run in found
    ]
    print_table(("run", "status", "target", "seed", "started", "took"), rows)


def _took(run: Experiment) -> str:
    return "-" if run.finished_at_us is None else f"{(run.finished_at_us - run.started_at_us) / 1e6:.0f} s"
