"""`microservo manage`: what the manager is asked to do with containers, apps and hosts, and what it did."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import click

from microservo.application.manager_commands import FollowControlEvents, GiveCommand, Outcome
from microservo.cli import manage_entities
from microservo.cli.output import Cell, print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.text import Part, styled
from microservo.cli.times import date_time
from microservo.cli.values import PlaceType, StartType
from microservo.errors import MicroServoError
from schemas.records import ControlAction, ControlEvent

Place = tuple[float, float]
"""Latitude and longitude, in degrees."""

FINISH_S = 120.0
_COLOURS = {"done": "green", "failed": "red", "refused": "red", "given_up": "red"}
_place = click.option(
    "--at", "place", type=PlaceType(), metavar="LATITUDE,LONGITUDE", help="Near this place, in degrees."
)
_host = click.option("--host", metavar="NAME", help="On this host.")
_wait = click.option("--wait", is_flag=True, help="Until it is finished, two minutes at the most.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON, one document.")


class ActionFailed(MicroServoError):
    """The manager tried, and it came to nothing."""


@click.group()
def manage() -> None:
    """Say which services there are and by which rules, launch, move and stop containers, see what is decided.

    A manager of the system carries it out; without one that answers, nothing is done. What can't be is
    refused with the reason.

    \b
    Examples:
      microservo manage seed sock-shop
      microservo manage launch-app sock-shop --at 52.5,13.4 --wait
      microservo manage list container
      microservo manage migrate front-end-0a1b2c3d4e --at 35.7,139.7
      microservo manage events --follow
    """


manage_entities.add_to(manage)


@manage.command()
@click.argument("service")
@_place
@_host
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many.")
@_wait
@_json
@pass_session
def launch(
    session: Session,
    service: str,
    *,
    place: Place | None,
    host: str | None,
    count: int,
    wait: bool,
    as_json: bool,
) -> None:
    """Launch containers of SERVICE near a place or on a host.

    \b
    Examples:
      microservo manage launch carts --at 52.5,13.4 --count 2 --wait
      microservo manage launch carts --host edge-berlin-1
    """
    where = _where(place, host)
    _give(session, "launch", f"service/{service}", {**where, "count": str(count)}, wait=wait, as_json=as_json)


@manage.command("launch-app")
@click.argument("app")
@_place
@_wait
@_json
@pass_session
def launch_app(session: Session, app: str, *, place: Place | None, wait: bool, as_json: bool) -> None:
    """Launch all services of APP near a place, in their order; what doesn't depend on others at once.

    \b
    Example:
      microservo manage launch-app sock-shop --at 52.5,13.4 --wait
    """
    _give(session, "launch_app", f"app/{app}", _where(place, None), wait=wait, as_json=as_json)


@manage.command()
@click.argument("container")
@_place
@_host
@_wait
@_json
@pass_session
def replicate(
    session: Session,
    container: str,
    *,
    place: Place | None,
    host: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Launch another container of the service of CONTAINER.

    \b
    Example:
      microservo manage replicate carts-0a1b2c3d4e --at 35.7,139.7
    """
    _give(session, "replicate", f"container/{container}", _where(place, host), wait=wait, as_json=as_json)


@manage.command()
@click.argument("container")
@_place
@_host
@_wait
@_json
@pass_session
def migrate(
    session: Session,
    container: str,
    *,
    place: Place | None,
    host: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Move CONTAINER: a new one is launched, and the old one is stopped when callers know of the new one.

    \b
    Example:
      microservo manage migrate carts-0a1b2c3d4e --host edge-tokyo-1 --wait
    """
    _give(session, "migrate", f"container/{container}", _where(place, host), wait=wait, as_json=as_json)


def _simple(
    name: str, action: ControlAction, kind: Literal["container", "host"], says: str, *, waits: bool = False
) -> None:
    """Adds a command that needs nothing but the name of what it is about."""

    def call(session: Session, name: str, *, as_json: bool, wait: bool = False) -> None:
        _give(session, action, f"{kind}/{name}", {}, wait=wait, as_json=as_json)

    call.__doc__ = f"{says}\n\n\b\nExample:\n  microservo manage {name} {_EXAMPLES[kind]}\n"
    made: Callable[..., None] = pass_session(call)
    for option in (_json, *([_wait] if waits else [])):
        made = option(made)
    manage.command(name)(click.argument("name", metavar=kind.upper())(made))


_EXAMPLES = {"container": "carts-0a1b2c3d4e", "host": "edge-berlin-1"}
_simple(
    "stop",
    "stop",
    "container",
    "Stop CONTAINER, and its databases on that host that nobody else there uses.",
    waits=True,
)
_simple("drain", "drain", "host", "Move all containers of HOST elsewhere, and let it take no new ones.")
_simple("activate", "activate", "host", "Let HOST take containers again.")
_simple("join", "join", "host", "Start HOST if it is off, and make it a node that takes containers.")
_simple("leave", "leave", "host", "Take HOST, which must be empty, out of the cluster.")


@manage.command()
@click.argument("host")
@click.argument("worker", required=False, default="")
@_json
@pass_session
def assign(session: Session, host: str, worker: str, *, as_json: bool) -> None:
    """Give HOST and its containers to WORKER, or without one to the master.

    \b
    Examples:
      microservo manage assign edge-berlin-1 worker-europe
      microservo manage assign edge-berlin-1
    """
    _give(
        session, "assign", f"host/{host}", {"worker": worker} if worker else {}, wait=False, as_json=as_json
    )


@manage.command()
@click.option(
    "--from",
    "start",
    type=StartType(),
    default="earliest",
    show_default=True,
    metavar="earliest|latest|INSTANT",
    help="Since when, for example -1h.",
)
@click.option("--entity", default="", metavar="KIND/NAME", help="Of this one alone.")
@click.option("--command", "command_id", default="", metavar="ID", help="What came of this command alone.")
@click.option("-f", "--follow", is_flag=True, help="Also what will be decided, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def events(
    session: Session,
    *,
    start: datetime | Literal["earliest", "latest"],
    entity: str,
    command_id: str,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what was decided, by which rule and values, and what came of it.

    \b
    Examples:
      microservo manage events --from -10m
      microservo manage events --follow --json | jq 'select(.state == "failed")'
    """
    asked = FollowControlEvents(start=start, entity=entity, command_id=command_id, follow=follow)
    for event in session.execute(asked):
        if as_json:
            print_document(event)
        else:
            print_line(*_line(event))


def _where(place: Place | None, host: str | None) -> dict[str, str]:
    if (place is None) == (host is None):
        msg = "say where, and in one way: --at LATITUDE,LONGITUDE" + (
            "" if host is None else " or --host NAME"
        )
        raise click.UsageError(msg)
    if place is None:
        return {"host": host or ""}
    latitude, longitude = place
    return {"latitude": repr(latitude), "longitude": repr(longitude)}


def _give(
    session: Session,
    action: ControlAction,
    entity: str,
    arguments: dict[str, str],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    asked = GiveCommand(action=action, entity=entity, arguments=arguments, finish_s=FINISH_S if wait else 0.0)
    print_outcome(session.execute(asked), as_json=as_json)


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Prints what came of a command; one that came to nothing is an error."""
    if as_json:
        print_document(outcome)
    else:
        print_table(("what", "state", "where", "why"), [_row(event) for event in outcome.events], lines=False)
    if outcome.failure is not None:
        raise ActionFailed(outcome.failure.reason)


def _row(event: ControlEvent) -> tuple[Cell, ...]:
    where = " -> ".join(host for host in (event.from_host, event.to_host) if host)
    return f"{event.action} {event.entity}", _state(event), where or "-", event.reason


def _line(event: ControlEvent) -> tuple[Part, ...]:
    where = " -> ".join(host for host in (event.from_host, event.to_host) if host)
    values = ", ".join(f"{name} {value:g}" for name, value in zip(event.fields, event.values, strict=True))
    why = "; ".join(part for part in (event.rule, values, event.reason) if part)
    return (
        styled(date_time(event.at_us), dim=True),
        f" {event.manager} {event.action} {event.entity} ",
        _state(event),
        f" {where}" if where else "",
        f"  {why}" if why else "",
    )


def _state(event: ControlEvent) -> Part:
    return styled(event.state, fg=_COLOURS.get(event.state))
