"""`microservo runs`: the runs that the log holds."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click
from rich.table import Table

from microservo.cli.documents import to_json
from microservo.cli.session import Session, console, pass_session
from microservo.cli.times import date_time


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
    """List all runs, oldest first."""
    found = session.client().runs()
    if as_json:
        for run in found:
            click.echo(to_json(run))
        return
    if not found:
        click.echo("no runs yet; `microservo demo` makes one")
        return
    table = Table("run", "status", "target", "seed", "started", "took")
    for run in found:
        took = (
            "-" if run.finished_at_us is None else f"{(run.finished_at_us - run.started_at_us) / 1e6:.0f} s"
        )
        table.add_row(run.run_id, run.status, run.target, str(run.seed), date_time(run.started_at_us), took)
    console().print(table)
