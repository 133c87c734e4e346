"""`microservo fault declare`: say that others have made a fault, or that it is over."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from datetime import datetime

import click

from microservo.application.faults import DeclareFault, StopFault
from microservo.cli.output import print_document, print_line
from microservo.cli.session import Session, pass_session
from microservo.cli.values import InstantType


@click.command()
@click.option("--service", metavar="NAME", help="Where; it need not be a service of the target.")
@click.option("--kind", metavar="NAME", help="What, in a word of yours such as deploy; no injected kind.")
@click.option(
    "--instance", "instances", multiple=True, metavar="ID", help="On which instance, if known; repeat."
)
@click.option("--from", "start_at", type=InstantType(), help="Since when; now by default.")
@click.option("--to", "end_at", type=InstantType(), help="Until when; in force until --end by default.")
@click.option("--within", metavar="TIME", help="How exactly that is known, for example 500ms.")
@click.option("--severity", type=float, help="From 0 (nothing) to 1 (total); 0.5 by default.")
@click.option("--by", "declared_by", metavar="NAME", help="Who says so; you by default.")
@click.option("--id", "fault_id", metavar="TEXT", help="Identity of the fault; made up by default.")
@click.option("--end", "ended", metavar="ID", help="Say that the declared fault ID is over.")
@click.option("--at", type=InstantType(), help="When it was over, with --end; now by default.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def declare(
    session: Session,
    *,
    service: str | None,
    kind: str | None,
    instances: tuple[str, ...],
    start_at: datetime | None,
    end_at: datetime | None,
    within: str | None,
    severity: float | None,
    declared_by: str | None,
    fault_id: str | None,
    ended: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Say that others have made a fault, and print the id that it gets.

    It is labelled like those that are injected, with the effects that are measured.

    \b
    Examples:
      microservo fault declare --service jshop --kind deploy --from -5m --to now
      microservo fault declare --service jshop --kind disk-full --id disk-1 --by ana
      microservo fault declare --end disk-1 --at -10s
    """
    if ended is not None:
        if any((service, kind, instances, start_at, end_at, within, severity, declared_by, fault_id)):
            msg = "--end goes with --at only; leave the others out"
            raise click.UsageError(msg)
        session.execute(StopFault(fault_id=ended, at=at))
        _print(ended, f"declared the end of {ended}", "", as_json=as_json)
        return
    if at is not None:
        msg = "--at goes with --end; give --from and --to to a new fault"
        raise click.UsageError(msg)
    if not service or not kind:
        msg = "give --service and --kind of the fault, or --end with the id of one that is over"
        raise click.UsageError(msg)
    declared = session.execute(
        DeclareFault(
            kind=kind,
            service=service,
            instances=instances,
            start_at=start_at,
            end_at=end_at,
            within=within,
            severity=severity,
            declared_by=declared_by,
            fault_id=fault_id,
        )
    )
    _print(declared.fault_id, declared.fault_id, declared.note, as_json=as_json)


def _print(fault_id: str, line: str, note: str, *, as_json: bool) -> None:
    if as_json:
        print_document({"fault_id": fault_id, "note": note})
    else:
        print_line(line)
        if note:
            print_line(note)
