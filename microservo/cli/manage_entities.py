"""The commands of `microservo manage` that list, show, make and change entities."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from microservo.application.manager_commands import GiveCommand, Outcome
from microservo.application.manager_entities import (
    AssociateEntities,
    ComponentKind,
    EntityView,
    ListEntities,
    SeedComponents,
    SeedTopology,
    ShowEntity,
    WriteEntity,
)
from microservo.cli.completions import complete_entity, complete_entity_kind, complete_topology
from microservo.cli.output import Cell, print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.times import date_time

_key = click.argument("key", metavar="KIND/NAME", shell_complete=complete_entity)
_pairs = click.argument("pairs", nargs=-1, metavar="[FIELD=VALUE]...")
_MOST_BYTES = 2**20
_COLUMNS: dict[str, tuple[str, ...]] = {
    "container": ("service", "host", "region", "state", "managed_by"),
    "host": ("place", "region", "state", "latitude", "longitude", "shares", "worker"),
    "node": ("availability", "role", "is_ready"),
    "service": ("type", "minimum_replicas", "maximum_replicas", "is_stateful"),
}
"""Fields that a list shows of a kind; of others, all that are single values."""


@click.command("list")
@click.argument("kind", required=False, shell_complete=complete_entity_kind)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_entities(session: Session, kind: str | None, *, as_json: bool) -> None:
    """List what the manager knows of KIND, or how many there are of each kind.

    \b
    Examples:
      microservo manage list
      microservo manage list container
      microservo manage list host --json | jq -r 'select(.values.state == "running") | .name'
    """
    found = session.execute(ListEntities(kind=kind))
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        what = "nothing" if kind is None else f"no {kind}"
        print_line(
            f"the manager knows of {what} yet; `microservo manage create --help` shows how to make one"
        )
    elif kind is None:
        kinds = sorted({each.kind for each in found})
        print_table(("kind", "entities"), [(name, str(_count(found, name))) for name in kinds])
    else:
        fields = _COLUMNS.get(kind) or _single_values(found)
        rows = [
            (each.name, *(_text(each.values.get(field, "")) for field in fields), each.owner)
            for each in found
        ]
        print_table((kind, *fields, "owner"), rows)


@click.command()
@_key
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def show(session: Session, key: str, *, as_json: bool) -> None:
    """Show one entity with all its fields.

    \b
    Examples:
      microservo manage show service/carts
      microservo manage show settings/manager --json | jq .values
    """
    found = session.execute(ShowEntity(key=key))
    if as_json:
        print_document(found)
        return
    print_line(
        f"{found.key}, version {found.version} of {date_time(found.updated_at_us)}, owned by {found.owner}"
    )
    print_table(
        ("field", "value"), [(name, _text(value)) for name, value in found.values.items()], lines=False
    )


@click.command()
@_key
@_pairs
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Fields from a JSON or TOML file; what is given as FIELD=VALUE comes on top.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def create(session: Session, key: str, pairs: tuple[str, ...], *, file: Path | None, as_json: bool) -> None:
    """Make the entity KIND/NAME; a VALUE is JSON, or else text.

    Kinds: app, condition, dependency, field, host, prediction, region, rule, service, settings,
    simulated-metric and what a region has. A dependency's name is SERVICE:DEPENDENCY.

    \b
    Examples:
      microservo manage create service/carts type=backend memory_bytes=4e8 minimum_replicas=1
      microservo manage create condition/busy field=cpu-% operator='>' value=80
      microservo manage create rule/more scope=service generic=true decision=replicate \\
          conditions='["busy"]'
      microservo manage create host/edge-berlin-1 place=edge latitude=52.5 longitude=13.4
    """
    _write(session, key, _read_file(file) | _values(pairs), is_new=True, as_json=as_json)


@click.command()
@_key
@_pairs
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def update(session: Session, key: str, pairs: tuple[str, ...], *, as_json: bool) -> None:
    """Give fields of the entity KIND/NAME other values; a VALUE is JSON, or else text.

    \b
    Example:
      microservo manage update service/carts maximum_replicas=5
    """
    if not pairs:
        msg = "nothing to change; give FIELD=VALUE"
        raise click.UsageError(msg)
    _write(session, key, _values(pairs), is_new=False, as_json=as_json)


@click.command()
@_key
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def delete(session: Session, key: str, *, as_json: bool) -> None:
    """Delete the entity KIND/NAME; refused while others stand on it.

    \b
    Example:
      microservo manage delete rule/more
    """
    _print(session.execute(GiveCommand(action="delete", entity=key)), as_json=as_json)


@click.command()
@_key
@click.argument("field", metavar="LIST")
@click.argument("value")
@_pairs
@pass_session
def associate(session: Session, key: str, field: str, value: str, pairs: tuple[str, ...]) -> None:
    """Put VALUE into a LIST of the entity KIND/NAME.

    \b
    Examples:
      microservo manage associate rule/more conditions busy
      microservo manage associate rule/more targets carts
      microservo manage associate app/sock-shop services carts launch_order=10
    """
    _associate(session, key, field, value, pairs, is_wanted=True)


@click.command()
@_key
@click.argument("field", metavar="LIST")
@click.argument("value")
@pass_session
def dissociate(session: Session, key: str, field: str, value: str) -> None:
    """Take VALUE out of a LIST of the entity KIND/NAME.

    \b
    Example:
      microservo manage dissociate rule/more targets carts
    """
    _associate(session, key, field, value, (), is_wanted=False)


@click.command()
@click.argument("topology", shell_complete=complete_topology)
@pass_session
def seed(session: Session, topology: str) -> None:
    """Make the app that TOPOLOGY is, with its services and who depends on whom; may be done again.

    \b
    Examples:
      microservo manage seed sock-shop
      microservo topology list
    """
    _print_made(session.execute(SeedTopology(topology=topology)))


@click.command("seed-components")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(get_args(ComponentKind)),
    multiple=True,
    help="This kind alone; may be given for several.",
)
@pass_session
def seed_components(session: Session, *, kinds: tuple[ComponentKind, ...]) -> None:
    """Have each region with containers get a registry, a load balancer and a worker; may be done again.

    They are launched once the region has a container, and stopped 5 minutes after it has lost the last one
    (component_grace_us of settings/manager). Where one is not wanted, delete its service, for example
    service/region-worker.

    \b
    Examples:
      microservo manage seed-components
      microservo manage seed-components --kind registry
    """
    _print_made(session.execute(SeedComponents(kinds=kinds)))


def _print_made(keys: Sequence[str]) -> None:
    for key in keys:
        print_line(key)
    if not keys:
        print_line("all of it is there already")


def add_to(group: click.Group) -> None:
    """Adds the commands to `microservo manage`."""
    for command in (
        list_entities,
        show,
        create,
        update,
        delete,
        associate,
        dissociate,
        seed,
        seed_components,
    ):
        group.add_command(command)


def _associate(
    session: Session, key: str, field: str, value: str, pairs: Sequence[str], *, is_wanted: bool
) -> None:
    asked = AssociateEntities(key=key, field=field, value=value, values=_values(pairs), is_wanted=is_wanted)
    _print(session.execute(asked), as_json=False)


def _write(session: Session, key: str, values: dict[str, object], *, is_new: bool, as_json: bool) -> None:
    _print(session.execute(WriteEntity(key=key, values=values, is_new=is_new)), as_json=as_json)


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_document(outcome)
        return
    for event in outcome.events:
        print_line(f"{event.action} {event.entity}: {event.state}")


def _values(pairs: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            msg = f"{pair!r} is no field with a value; write FIELD=VALUE, for example maximum_replicas=5"
            raise click.UsageError(msg)
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _read_file(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    if path.stat().st_size > _MOST_BYTES:
        msg = f"{path} has more than {_MOST_BYTES} bytes, which no entity has; give another file"
        raise click.UsageError(msg)
    try:
        text = path.read_text("utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        msg = f"{path} is neither JSON nor a .toml file: {error}"
        raise click.UsageError(msg) from error
    if not isinstance(found, dict):
        msg = f'{path} holds no object; write {{"FIELD": VALUE}}'
        raise click.UsageError(msg)
    return found


def _count(found: Sequence[EntityView], kind: str) -> int:
    return sum(each.kind == kind for each in found)


def _single_values(found: Sequence[EntityView]) -> tuple[str, ...]:
    names = dict.fromkeys(name for each in found for name in each.values if name != "name")
    return tuple(
        name for name in names if not any(isinstance(each.values.get(name), list | dict) for each in found)
    )


def _text(value: object) -> Cell:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
