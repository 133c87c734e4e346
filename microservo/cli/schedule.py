"""`microservo schedule`: faults that begin at a time, once or again and again."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from microservo.application.schedules import (
    GRACE,
    MOST_PREVIEWED,
    AddSchedule,
    EditSchedule,
    ListSchedules,
    PauseSchedule,
    PreviewedFault,
    PreviewSchedules,
    RemoveSchedule,
    ResumeSchedule,
    ScheduleStatus,
    ShowSchedule,
)
from microservo.application.when import When
from microservo.cli.output import Cell, print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.target_options import instance_options, labels_of
from microservo.cli.text import styled
from microservo.cli.times import date_time
from microservo.cli.values import InstantType, Target, TargetType, parameters_of

_COLUMNS = ("schedule", "state", "fault", "when", "next", "requested", "skipped")
_COLOURS = {"active": "green", "paused": "yellow", "over": None}


def _when_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the ways of saying when."""
    for option in (
        click.option("--zone", "time_zone", metavar="ZONE", help="Time zone, for example Europe/Berlin."),
        click.option("--cron", metavar="EXPRESSION", help="For example '30 2 * * MON-FRI'."),
        click.option("--weekly", metavar="DAYS HH:MM", help="Days and time, for example 'mon,thu 02:30'."),
        click.option("--daily", metavar="HH:MM", help="Time of day, for example 02:30."),
        click.option("--at", type=InstantType(), metavar="INSTANT", help="Once, for example +10m."),
    ):
        command = option(command)
    return command


@click.group()
def schedule() -> None:
    """Have faults begin at a time, once or again and again; see what is to come, pause, edit, remove.

    The injector of the running system requests them. Each has an id of its own, made of the schedule's and
    the instant, and is found by that among the faults. A fault that nobody was there to request in time is
    skipped, and `show` says so.

    \b
    Examples:
      microservo schedule add network-delay --target service=cartservice --param latency=300ms \\
          --duration 20s --daily 02:30 --zone Europe/Berlin --id nightly
      microservo schedule preview
      microservo schedule pause nightly
    """


@schedule.command()
@click.argument("kind")
@click.option(
    "--target", required=True, type=TargetType(), metavar="service=NAME[,instance=ID]", help="What to hit."
)
@instance_options("all")
@click.option("--param", "pairs", multiple=True, metavar="NAME=VALUE", help="Parameter of the kind; repeat.")
@click.option("--duration", metavar="TIME", help="How long each lasts, for example 20s or 2min.")
@_when_options
@click.option(
    "--grace",
    metavar="TIME",
    default=GRACE,
    show_default=True,
    help="How late one may begin; later: skipped.",
)
@click.option("--id", "schedule_id", metavar="TEXT", help="Identity of the schedule; made up by default.")
@pass_session
def add(
    session: Session,
    kind: str,
    *,
    target: Target,
    mode: str,
    labels: tuple[str, ...],
    pairs: tuple[str, ...],
    duration: str | None,
    grace: str,
    schedule_id: str | None,
    at: datetime | None,
    daily: str | None,
    weekly: str | None,
    cron: str | None,
    time_zone: str | None,
) -> None:
    """Add a schedule of faults of KIND and print its id; without any time, its one fault begins now.

    A time of day that a change of the clock passes over is the first minute after it; one that comes twice
    counts the first time. `preview` tells where that is so.

    \b
    Examples:
      microservo schedule add process-kill --target service=cartservice --at 2027-01-31T12:00:00Z
      microservo schedule add cpu-hog --target service=adservice --duration 1min \\
          --cron '*/15 8-17 * * MON-FRI'
      microservo schedule add pod-kill --target service=cart --mode one --label track=canary \\
          --daily 02:30
    """
    status = session.execute(
        AddSchedule(
            kind=kind,
            service=target.service,
            instances=target.instances,
            mode=mode,
            labels=labels_of(labels),
            parameters=parameters_of(pairs),
            duration=duration,
            when=_when(at, daily, weekly, cron, time_zone),
            grace=grace,
            schedule_id=schedule_id,
        )
    )
    print_line(status.schedule.schedule_id)


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_schedules(session: Session, *, as_json: bool) -> None:
    """List all schedules, that whose fault begins next first.

    \b
    Examples:
      microservo schedule list
      microservo schedule list --json | jq -r 'select(.skipped > 0) | .schedule.schedule_id'
    """
    found = session.execute(ListSchedules())
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        print_line("no schedules yet; `microservo schedule add --help` shows how to make one")
    else:
        print_table(_COLUMNS, [_row(each) for each in found])


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@pass_session
def show(session: Session, schedule_id: str, *, as_json: bool) -> None:
    """Show the schedule ID, and what became of its newest faults.

    \b
    Examples:
      microservo schedule show nightly
      microservo schedule show nightly --json | jq .recent
    """
    status = session.execute(ShowSchedule(schedule_id=schedule_id))
    if as_json:
        print_document(status)
        return
    print_table(_COLUMNS, [_row(status)])
    if status.recent:
        rows = [(each.fault_id, date_time(each.at_us), each.outcome, each.reason) for each in status.recent]
        print_table(("fault", "due", "outcome", "reason"), rows, lines=False)


@schedule.command()
@click.argument("schedule_id", metavar="[ID]", required=False)
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="How far to look.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def preview(session: Session, schedule_id: str | None, *, days: int, as_json: bool) -> None:
    """Show the faults that are to begin in the coming week, of the schedule ID or of all.

    \b
    Examples:
      microservo schedule preview
      microservo schedule preview nightly --days 30
    """
    found = session.execute(PreviewSchedules(schedule_id=schedule_id, days=days))
    if as_json:
        for each in found:
            print_document(_preview_document(each))
    elif not found:
        print_line(f"nothing begins in the coming {days} days")
    else:
        print_table(("begins", "in its zone", "fault", "id"), [_preview_row(each) for each in found])
        if len(found) >= MOST_PREVIEWED:
            print_line(f"of each schedule the next {MOST_PREVIEWED} at the most")


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@pass_session
def pause(session: Session, schedule_id: str) -> None:
    """Have no fault of the schedule ID begin until it is resumed.

    \b
    Example:
      microservo schedule pause nightly
    """
    session.execute(PauseSchedule(schedule_id=schedule_id))


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@pass_session
def resume(session: Session, schedule_id: str) -> None:
    """Have faults of the schedule ID begin again; what passed meanwhile stays undone.

    \b
    Example:
      microservo schedule resume nightly
    """
    session.execute(ResumeSchedule(schedule_id=schedule_id))


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@click.option("--kind", help="Kind of fault.")
@click.option("--target", type=TargetType(), metavar="service=NAME[,instance=ID]", help="What to hit.")
@instance_options(None)
@click.option("--param", "pairs", multiple=True, metavar="NAME=VALUE", help="All parameters anew; repeat.")
@click.option("--duration", metavar="TIME", help="How long each lasts.")
@_when_options
@click.option("--grace", metavar="TIME", help="How late one may begin.")
@pass_session
def edit(
    session: Session,
    schedule_id: str,
    *,
    kind: str | None,
    target: Target | None,
    mode: str | None,
    labels: tuple[str, ...],
    pairs: tuple[str, ...],
    duration: str | None,
    grace: str | None,
    at: datetime | None,
    daily: str | None,
    weekly: str | None,
    cron: str | None,
    time_zone: str | None,
) -> None:
    """Change what is given of the schedule ID, from now on.

    A time is meant in the zone that the schedule has, unless another one is given with it.

    \b
    Examples:
      microservo schedule edit nightly --daily 03:30
      microservo schedule edit nightly --daily 03:30 --zone Europe/Berlin
      microservo schedule edit nightly --param latency=1s --duration 1min
    """
    is_given = any((at, daily, weekly, cron))
    if time_zone and not is_given:
        msg = "--zone says what a time is meant in; give --daily, --weekly or --cron with it"
        raise click.UsageError(msg)
    session.execute(
        EditSchedule(
            schedule_id=schedule_id,
            kind=kind,
            service=None if target is None else target.service,
            instances=None if target is None else target.instances,
            mode=mode,
            labels=labels_of(labels) if labels else None,
            parameters=parameters_of(pairs) if pairs else None,
            duration=duration,
            grace=grace,
            when=_when(at, daily, weekly, cron, time_zone) if is_given else None,
        )
    )


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@pass_session
def remove(session: Session, schedule_id: str) -> None:
    """Remove the schedule ID; a fault that is in force stays so until its end.

    \b
    Example:
      microservo schedule remove nightly
    """
    session.execute(RemoveSchedule(schedule_id=schedule_id))


def _when(
    at: datetime | None, daily: str | None, weekly: str | None, cron: str | None, time_zone: str | None
) -> When:
    return When(at=at, daily=daily or "", weekly=weekly or "", cron=cron or "", time_zone=time_zone)


def _row(status: ScheduleStatus) -> tuple[Cell, ...]:
    schedule = status.schedule
    return (
        schedule.schedule_id,
        styled(status.standing, fg=_COLOURS[status.standing]),
        (schedule.kind, styled(schedule.service, dim=True)),
        status.when,
        "-" if status.next_at_us is None else date_time(status.next_at_us),
        str(status.requested),
        str(status.skipped),
    )


def _preview_row(each: PreviewedFault) -> tuple[Cell, ...]:
    occurrence = each.occurrence
    local = f"{occurrence.local:%a %H:%M:%S%z}"
    return (
        date_time(occurrence.at_us),
        (local, styled(occurrence.note, fg="yellow")) if occurrence.note else local,
        (each.schedule.kind, styled(each.schedule.service, dim=True)),
        each.fault_id,
    )


def _preview_document(each: PreviewedFault) -> dict[str, object]:
    return {
        "fault_id": each.fault_id,
        "schedule_id": each.schedule.schedule_id,
        "kind": each.schedule.kind,
        "service": each.schedule.service,
        "at_us": each.occurrence.at_us,
        "local": each.occurrence.local.isoformat(),
        "note": each.occurrence.note,
    }
