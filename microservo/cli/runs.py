"""`microservo runs`: the runs that the log holds."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.application.runs import (
    LATEST_RUN,
    ListReadUntil,
    ListRuns,
    ListWriters,
    RetireService,
    RetireWriter,
)
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.times import date_time
from microservo.domain.faults.units import format_duration
from microservo.domain.text import printable
from schemas.records import Experiment, RunWriter

_run_option = click.option(
    "--run", "run_id", metavar="ID", default=LATEST_RUN, show_default=True, help="Which run."
)


@click.group()
def runs() -> None:
    """Show the runs that the log holds, and who writes in them.

    \b
    Examples:
      microservo runs list
      microservo runs writers
      microservo runs retire-writer collector-2
      microservo runs retire-service jshop
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


@runs.command()
@_run_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@pass_session
def writers(session: Session, *, run_id: str, as_json: bool) -> None:
    """List the writers of a run: every window waits for all that have not left.

    Of a source that follows a store it is shown how far it has read.

    \b
    Examples:
      microservo runs writers
      microservo runs writers --run run-20261122-214500-ab12
    """
    found = session.execute(ListWriters(run_id=run_id))
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        print_line("the run declares no writers: each topic has the first that writes it")
    else:
        read_us = session.execute(ListReadUntil(run_id=run_id))
        rows = [_writer_row(each, read_us.get(each.writer)) for each in found]
        print_table(("writer", "topic", "from", "until", "on time", "accepted", "has read up to"), rows)


@runs.command()
@click.argument("writer")
@_run_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@pass_session
def retire_writer(session: Session, writer: str, *, run_id: str, yes: bool) -> None:
    """End the part of WRITER in a run, after it was stopped for good.

    Windows wait for it no longer. It can't come back to the run; a collector in its place needs another
    name (MICROSERVO_WRITER). One that only restarts needs none of this.

    \b
    Examples:
      microservo runs retire-writer collector-2
      microservo runs retire-writer collector-2 --run run-20261122-214500-ab12 --yes
    """
    where = "the latest run" if run_id == LATEST_RUN else f"run {run_id}"
    question = f"{writer} can't come back to {where} under this name. Retire it?"
    if not yes:
        click.confirm(printable(question), abort=True)
    retired = session.execute(RetireWriter(writer=writer, run_id=run_id))
    print_line(f"retired {writer} from {', '.join(each.topic for each in retired)}")


@runs.command()
@click.argument("service")
@_run_option
@pass_session
def retire_service(session: Session, service: str, *, run_id: str) -> None:
    """Declare that SERVICE is gone, so that its silence is none any more.

    A service that pushed telemetry and falls silent has windows all the same, which say so. That ends with
    this. If it sends again, it is known again.

    \b
    Examples:
      microservo runs retire-service jshop
      microservo runs retire-service jshop --run run-20261122-214500-ab12
    """
    gone = session.execute(RetireService(service=service, run_id=run_id))
    print_line(f"{gone.service} is gone since {date_time(gone.at_us)}")


def _writer_row(writer: RunWriter, read_us: int | None) -> tuple[str, ...]:
    return (
        writer.writer,
        writer.topic,
        date_time(writer.from_us),
        "-" if writer.until_us is None else date_time(writer.until_us),
        "never" if writer.first_cut_us < 0 else format_duration(writer.first_cut_us),
        format_duration(writer.final_cut_us),
        "-" if read_us is None else date_time(read_us),
    )


def _took(run: Experiment) -> str:
    return "-" if run.finished_at_us is None else f"{(run.finished_at_us - run.started_at_us) / 1e6:.0f} s"
