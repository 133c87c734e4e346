"""`microservo fault`: ask for faults, follow them, stop them."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click
from rich.markup import escape
from rich.table import Column, Table

from microservo.application.here import carried_kinds
from microservo.cli.documents import to_json
from microservo.cli.lines import describe
from microservo.cli.session import Session, console, pass_session
from microservo.cli.times import after, clock_time, date_time
from microservo.cli.values import InstantType, Target, TargetType, parameters_of
from microservo.domain.faults.catalogue import KindInfo, kind_named
from microservo.domain.faults.catalogue import describe as describe_kinds
from microservo.domain.faults.lifecycle import LAST_STATES, WHOLE
from microservo.domain.faults.units import parse_duration
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.subscription import Subscription
from schemas.records import FaultEvent

_PATIENCE_S = 120.0
_POLL_S = 0.1
_HERE = {True: "yes", False: "no", None: "?"}
"""Whether the target that runs here can carry a kind; nobody knows where none runs."""


@click.group()
def fault() -> None:
    """Ask for faults, see what became of them, stop them.

    \b
    Examples:
      microservo fault kinds network-delay
      microservo fault request network-delay --target service=cartservice \\
          --param latency=300ms --duration 20s --wait
      microservo fault list
      microservo fault stop network-delay-1a2b3c4d
    """


@fault.command()
@click.argument("kind")
@click.option(
    "--target",
    required=True,
    type=TargetType(),
    metavar="service=NAME[,instance=ID]",
    help="What to hit: every instance of a service, or the named ones.",
)
@click.option("--param", "pairs", multiple=True, metavar="NAME=VALUE", help="Parameter of the kind; repeat.")
@click.option("--duration", metavar="TIME", help="How long, for example 20s or 2min.")
@click.option(
    "--at", "start_at", type=InstantType(), metavar="INSTANT", help="When to begin; now by default."
)
@click.option("--id", "fault_id", metavar="TEXT", help="Identity of the fault; made up by default.")
@click.option("--wait", is_flag=True, help="Follow the fault until it is over.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def request(
    session: Session,
    kind: str,
    *,
    target: Target,
    pairs: tuple[str, ...],
    duration: str | None,
    start_at: datetime | None,
    fault_id: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Ask for a fault of KIND and print its id.

    A request that can't be carried out is refused before anything is touched.

    \b
    Examples:
      microservo fault request process-kill --target service=cartservice
      microservo fault request http-abort --target service=cartservice,instance=cartservice-0 \\
          --param status=503 --param ratio=30% --duration 20s --at 2026-01-31T12:00:00Z
    """
    client = session.client()
    with client.subscribe("fault-events") as events:
        requested = client.request_fault(
            kind,
            service=target.service,
            instances=target.instances,
            parameters=parameters_of(pairs),
            duration=duration,
            start_at=start_at,
            fault_id=fault_id,
        )
        click.echo(to_json({"fault_id": requested}) if as_json else requested)
        if wait:
            patience_s = _PATIENCE_S + _seconds_until_over(duration, start_at)
            for event in follow(events, requested, patience_s):
                click.echo(to_json(event) if as_json else f"{clock_time(event.at_us)}  {describe(event)}")


@fault.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_faults(session: Session, *, as_json: bool) -> None:
    """List every fault with its state and measured times."""
    found = session.client().faults()
    if as_json:
        for event in found:
            click.echo(to_json(event))
        return
    if not found:
        click.echo("no faults yet; `microservo fault request --help` shows how to ask for one")
        return
    console().print(fault_table(found))


@fault.command()
@click.argument("fault_id", metavar="ID")
@pass_session
def stop(session: Session, fault_id: str) -> None:
    """End the fault ID before its time."""
    session.client().stop_fault(fault_id)
    click.echo(f"asked to stop {fault_id}")


@fault.command()
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def kinds(session: Session, kind: str | None, *, as_json: bool) -> None:
    """Show every kind of fault, or KIND with its parameters, units and defaults."""
    if kind is not None:
        kind_named(kind)
    chosen = [info for info in describe_kinds(carried_kinds(session.system)) if kind in (None, info.name)]
    if as_json:
        for info in chosen:
            click.echo(to_json(info))
        return
    if kind is not None:
        click.echo(_manual(chosen[0]))
        return
    table = Table("kind", "parameters", "acts on", "here", "what")
    for info in chosen:
        parameters = ", ".join(_short(each.name, each.default) for each in info.parameters)
        here = _HERE[info.available]
        table.add_row(info.name, parameters or "-", ", ".join(info.mechanisms), here, info.summary)
    console().print(table)


def follow(events: Subscription, fault_id: str, patience_s: float) -> Iterator[FaultEvent]:
    """The events of a fault as they come, until it is over on every instance.

    Raises:
        InvalidInput: it was rejected.
        MicroServoError: it failed.
        Unavailable: nothing came for `patience_s` seconds.
    """
    states: dict[str, str] = {}
    deadline_s = time.monotonic() + patience_s
    while not states or not set(states.values()) <= LAST_STATES:
        received = events.poll(_POLL_S)
        if time.monotonic() > deadline_s:
            msg = f"nothing was heard of {fault_id} for {patience_s:g} s; is the injector running?"
            raise Unavailable(msg)
        if received is None or not isinstance(received.record, FaultEvent):
            continue
        event = received.record
        if event.fault_id != fault_id:
            continue
        yield event
        _take(states, event)


def fault_table(events: list[FaultEvent]) -> Table:
    """Faults with their measured times, each after the request."""
    table = Table(Column("fault", overflow="fold"), "kind", Column("target", overflow="fold"), "state")
    for name in ("requested", "applied", "effect seen", "recovered", "normal", "effect"):
        table.add_column(name)
    for event in events:
        origin_us = event.requested_at_us
        table.add_row(
            event.fault_id,
            event.kind,
            event.instance or event.service,
            event.state + (f": {escape(event.reason)}" if event.reason else ""),
            date_time(origin_us),
            after(event.applied_at_us, origin_us),
            after(event.effect_seen_at_us, origin_us),
            after(event.recovered_at_us, origin_us),
            after(event.normal_at_us, origin_us),
            event.verdict,
        )
    return table


def _take(states: dict[str, str], event: FaultEvent) -> None:
    if event.state == "rejected":
        msg = f"fault {event.fault_id} was rejected: {event.reason}"
        raise InvalidInput(msg)
    if event.state == "failed":
        msg = f"fault {event.fault_id} failed on {event.instance}: {event.reason}"
        raise MicroServoError(msg)
    if event.instance != WHOLE:
        states.pop(WHOLE, None)
    states[event.instance] = event.state


def _seconds_until_over(duration: str | None, start_at: datetime | None) -> float:
    wait_s = max(0.0, (start_at - datetime.now(UTC)).total_seconds()) if start_at else 0.0
    return wait_s + (parse_duration(duration) / 1e6 if duration else 0.0)


def _short(name: str, default: str | None) -> str:
    return f"{name} (required)" if default is None else name


def _manual(info: KindInfo) -> str:
    lines = [info.name, f"  {info.summary}", f"  acts on: {', '.join(info.mechanisms)}"]
    for each in info.parameters:
        default = "required" if each.default is None else f"default {each.default or 'empty'}"
        allowed = f", {each.allowed}" if each.allowed else ""
        lines.append(
            f"  --param {each.name}={each.example}\n      {each.doc} ({each.unit}; {default}{allowed})"
        )
    example = "".join(
        f" --param {each.name}={each.example}" for each in info.parameters if each.default is None
    )
    lines.append(
        f"\n  microservo fault request {info.name} --target service=cartservice{example} --duration 20s"
    )
    return "\n".join(lines)
