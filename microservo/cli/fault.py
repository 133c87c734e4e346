"""`microservo fault`: ask for faults, follow them, stop them."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from microservo.application.faults import (
    FollowFault,
    ForceFault,
    ListFaults,
    ListKinds,
    RequestFault,
    StopFault,
)
from microservo.cli.declare import declare
from microservo.cli.lines import describe
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.target_options import instance_options, labels_of
from microservo.cli.times import after, clock_time, date_time
from microservo.cli.values import InstantType, Target, TargetType, parameters_of
from microservo.domain.faults.catalogue import KindInfo
from microservo.domain.faults.units import parse_duration
from microservo.domain.text import printable
from schemas.records import FaultEvent

_GRACE_S = 120.0
_HERE = {True: "yes", False: "no", None: "?"}
"""Whether the target that runs here can carry a kind; nobody knows where none runs."""
_COLUMNS = (
    *("fault", "kind", "target", "state"),
    *("requested", "applied", "effect seen", "recovered", "normal", "effect"),
)


@click.group()
def fault() -> None:
    """Ask for faults or declare those of others, see what became of them, stop them.

    \b
    Examples:
      microservo fault kinds network-delay
      microservo fault request network-delay --target service=cartservice \\
          --param latency=300ms --duration 20s --wait
      microservo fault declare --service jshop --kind deploy --from -2m
      microservo fault list
      microservo fault stop network-delay-1a2b3c4d
    """


fault.add_command(declare)


@fault.command()
@click.argument("kind")
@click.option(
    "--target",
    required=True,
    type=TargetType(),
    metavar="service=NAME[,instance=ID]",
    help="What to hit: every instance of a service, or the named ones.",
)
@instance_options("all")
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
    mode: str,
    labels: tuple[str, ...],
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
      microservo fault request pod-kill --target service=cartservice --mode 50% --label track=canary
    """
    requested = session.execute(
        RequestFault(
            kind=kind,
            service=target.service,
            instances=target.instances,
            mode=mode,
            labels=labels_of(labels),
            parameters=parameters_of(pairs),
            duration=duration,
            start_at=start_at,
            fault_id=fault_id,
        )
    )
    if as_json:
        print_document({"fault_id": requested.fault_id})
    else:
        print_line(requested.fault_id)
    if wait:
        command = FollowFault(fault_id=requested.fault_id, requested_at_us=requested.requested_at_us)
        _follow(session, command, _GRACE_S + _seconds_until_over(duration, start_at), as_json=as_json)


@fault.command("list")
@click.option("--all", "history", is_flag=True, help="Every fault there ever was; reads the whole history.")
@click.option("--id", "fault_id", metavar="ID", help="This fault alone, however long it is over.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_faults(session: Session, *, history: bool, fault_id: str | None, as_json: bool) -> None:
    """List the faults with their states and measured times: all that go on, and the newest that are over.

    Times count from the request; of those with ~ nobody measured how exact they are.

    \b
    Examples:
      microservo fault list
      microservo fault list --json | jq -r .fault_id
      microservo fault list --id network-delay-1a2b3c4d
    """
    found = session.execute(ListFaults(history=history, fault_id=fault_id))
    if as_json:
        for event in found:
            print_document(event)
        return
    if not found and fault_id is not None:
        print_line(f"there is no fault {printable(fault_id)}; `microservo fault list --all` shows all")
        return
    if not found:
        print_line("no faults yet; `microservo fault request --help` shows how to ask for one")
        return
    print_table(_COLUMNS, [_row(event) for event in found])


@fault.command()
@click.argument("fault_id", metavar="ID")
@pass_session
def stop(session: Session, fault_id: str) -> None:
    """End the fault ID before its time; of a declared one this says that it has ended now.

    \b
    Example:
      microservo fault stop network-delay-1a2b3c4d
    """
    session.execute(StopFault(fault_id=fault_id))
    print_line(f"asked to stop {fault_id}")


@fault.command()
@click.argument("fault_id", metavar="ID")
@pass_session
def force(session: Session, fault_id: str) -> None:
    """Give up the recovery of the fault ID, which is stuck.

    Only where it can be stuck: what carries a fault in a cluster may never get an answer from the pod's node.
    The fault is then taken for over, though it may stay in force: restart the pod before.

    \b
    Example:
      microservo fault force network-delay-1a2b3c4d
    """
    for instance in session.execute(ForceFault(fault_id=fault_id)):
        print_line(f"given up on {instance}")


@fault.command()
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def kinds(session: Session, kind: str | None, *, as_json: bool) -> None:
    """Show every kind of fault, or KIND with its parameters, units and defaults.

    Whether the running target can carry it stands under "here"; "?" while none runs.

    \b
    Examples:
      microservo fault kinds
      microservo fault kinds network-delay
    """
    chosen = session.execute(ListKinds(name=kind))
    if as_json:
        for each in chosen:
            print_document(each)
    elif kind is not None:
        for line in _manual(chosen[0]):
            print_line(line)
    else:
        print_table(("kind", "parameters", "acts on", "here", "what"), [_kind_row(each) for each in chosen])


def _follow(session: Session, command: FollowFault, timeout_s: float, *, as_json: bool) -> None:
    """Prints the events of a fault as they come, until it is over on every instance."""
    with session.execute(command) as followed:
        for event in followed.events(timeout_s):
            if as_json:
                print_document(event)
            else:
                print_line(f"{clock_time(event.at_us)}  ", *describe(event))
        followed.refuse_failure()


def _row(event: FaultEvent) -> Sequence[str]:
    """A fault on an instance with its measured times, each after the request."""
    origin_us = event.requested_at_us
    return (
        event.fault_id,
        event.kind,
        event.instance or event.service,
        event.state + (f": {event.reason}" if event.reason else ""),
        date_time(origin_us),
        _measured(event.applied_at_us, event.applied_within_us, origin_us),
        _measured(event.effect_seen_at_us, event.effect_seen_within_us, origin_us),
        _measured(event.recovered_at_us, event.recovered_within_us, origin_us),
        _measured(event.normal_at_us, event.normal_within_us, origin_us),
        event.verdict,
    )


def _measured(time_us: int | None, within_us: int | None, origin_us: int) -> str:
    is_inexact = time_us is not None and within_us is None
    return ("~" if is_inexact else "") + after(time_us, origin_us)


def _seconds_until_over(duration: str | None, start_at: datetime | None) -> float:
    wait_s = max(0.0, (start_at - datetime.now(UTC)).total_seconds()) if start_at else 0.0
    return wait_s + (parse_duration(duration) / 1e6 if duration else 0.0)


def _kind_row(kind: KindInfo) -> Sequence[str]:
    parameters = (
        each.name if each.default is not None else f"{each.name} (required)" for each in kind.parameters
    )
    mechanisms = ", ".join(kind.mechanisms)
    return kind.name, ", ".join(parameters) or "-", mechanisms, _HERE[kind.available], kind.summary


def _manual(kind: KindInfo) -> list[str]:
    lines = [
        kind.name,
        f"  {kind.summary}",
        f"  acts on: {', '.join(kind.mechanisms)}",
        f"  here: {_HERE[kind.available]}",
    ]
    for each in kind.parameters:
        default = "required" if each.default is None else f"default {each.default or 'empty'}"
        allowed = f", {each.allowed}" if each.allowed else ""
        lines += [
            f"  --param {each.name}={each.example}",
            f"      {each.doc} ({each.unit}; {default}{allowed})",
        ]
    return [*lines, "", f"  {_example(kind)}"]


def _example(kind: KindInfo) -> str:
    given = "".join(
        f" --param {each.name}={each.example}" for each in kind.parameters if each.default is None
    )
    return f"microservo fault request {kind.name} --target service=cartservice{given} --duration 20s"
