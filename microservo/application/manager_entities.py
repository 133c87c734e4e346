"""What can be asked for about the manager's entities: list, show, make, change them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from microservo.application.command import Command, Context
from microservo.application.manager_commands import ANSWER_S, GiveCommand, Outcome, give_command
from microservo.domain.manager.changes import MASTER, Change
from microservo.errors import InvalidInput
from microservo.log.system_state import read_system_state
from microservo.platforms.local.topology_files import read_topology
from schemas.records import ControlAction

if TYPE_CHECKING:
    from microservo.domain.manager.entities import Entity

NEVER_WRITTEN = frozenset({"container", "node", "pending-action"})
"""Kinds that only decisions change."""
ComponentKind = Literal["load-balancer", "registry", "worker"]
"""What a region with containers has besides."""
_IDENTITIES = {"dependency": ("service", "dependency"), "node": ("host",)}
"""Fields that make up an id, where it is not the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityView:
    """An entity as it holds.

    Attributes:
        key: kind and id.
        kind: as keys begin.
        name: its identity among those of its kind.
        owner: the process that alone changes it.
        version: 1, and one more with each change.
        updated_at_us: of the newest change, epoch microseconds UTC.
        values: its fields.
    """

    key: str
    kind: str
    name: str
    owner: str
    version: int
    updated_at_us: int
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntities(Command[tuple[EntityView, ...]]):
    """Asks for entities by kind and id; `kind` limits them to one."""

    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowEntity(Command[EntityView]):
    """Asks for one entity, by kind and id."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteEntity(Command[Outcome]):
    """Asks for an entity to be made, or for other values of some of its fields.

    Attributes:
        key: kind and id.
        values: of its fields; the others keep theirs, or have their defaults.
        is_new: it is made; otherwise it is there.
        answer_s: how many seconds to wait for the manager's answer.
    """

    key: str
    values: Mapping[str, object]
    is_new: bool
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateEntities(Command[Outcome]):
    """Asks for a value to be put into a list of an entity, or taken out of it.

    Attributes:
        key: kind and id of the entity.
        field: its list, as `conditions` or `targets` of a rule.
        value: the element, by its name where it is more than a name.
        values: its other fields, as `launch_order` of a service of an app.
        is_wanted: it shall be there; otherwise it shall not.
        answer_s: how many seconds to wait for the manager's answer.
    """

    key: str
    field: str
    value: str
    values: Mapping[str, object]
    is_wanted: bool
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedTopology(Command[tuple[str, ...]]):
    """Asks for a topology to be made an app of the manager, with its services and dependencies.

    Attributes:
        topology: name of a shipped one, or path of a file that ends in .toml.
        answer_s: how many seconds to wait for each of the manager's answers.
    """

    topology: str
    answer_s: float = ANSWER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedComponents(Command[tuple[str, ...]]):
    """Asks for a registry, a load balancer, a worker in each region with containers; `answer_s` as above.

    Attributes:
        kinds: those alone; all where none is named.
    """

    kinds: tuple[ComponentKind, ...] = ()
    answer_s: float = ANSWER_S


def list_entities(command: ListEntities, context: Context) -> tuple[EntityView, ...]:
    """The entities.

    Raises:
        InvalidInput: there is no such kind.
        Retryable: the broker is away for now.
    """
    if command.kind is not None:
        _check_kind(command.kind)
    connection = context.connection
    found = map(_view, read_system_state(connection.broker, connection.topic_prefix).values())
    return tuple(each for each in found if command.kind in (None, each.kind))


def show_entity(command: ShowEntity, context: Context) -> EntityView:
    """The entity.

    Raises:
        InvalidInput: there is none of that kind and id.
    """
    kind, name = _parts(command.key)
    known = {each.name: each for each in list_entities(ListEntities(kind=kind), context)}
    if name not in known:
        names = ", ".join(list(known)[:20]) or "none"
        msg = f"there is no {kind} {name[:80]!r}; there are {names}"
        raise InvalidInput(msg)
    return known[name]


def write_entity(command: WriteEntity, context: Context) -> Outcome:
    """What the manager said.

    Raises:
        InvalidInput: it can't be, or the manager refuses it; nothing was changed.
        Unavailable: no manager answers.
    """
    kind, name = _parts(command.key)
    if kind in NEVER_WRITTEN:
        msg = f"a {kind} can't be written; launch, migrate, stop, drain, join and leave change it"
        raise InvalidInput(msg)
    known = (
        _identity(kind, name) if command.is_new else show_entity(ShowEntity(key=command.key), context).values
    )
    return _write(command.key, {**known, **command.values}, command.answer_s, context, is_new=command.is_new)


def associate_entities(command: AssociateEntities, context: Context) -> Outcome:
    """What the manager said.

    Raises:
        InvalidInput: the entity has no such list, or it is so already.
        Unavailable: no manager answers.
    """
    known = show_entity(ShowEntity(key=command.key), context).values
    found = known.get(command.field)
    if not isinstance(found, list):
        lists = ", ".join(name for name, value in known.items() if isinstance(value, list)) or "none"
        msg = f"{command.key} has no list {command.field!r}; its lists are {lists}"
        raise InvalidInput(msg)
    rest = [each for each in found if _name_of(each) != command.value]
    if len(rest) == len(found) and not command.is_wanted:
        names = ", ".join(map(_name_of, found)) or "nothing"
        msg = f"{command.value!r} is not among {command.field} of {command.key}; there is {names}"
        raise InvalidInput(msg)
    if command.is_wanted:
        is_named = command.key.startswith("app/")
        rest.append({"service": command.value, **command.values} if is_named else command.value)
    if rest == found:
        msg = f"{command.value!r} is among {command.field} of {command.key} already"
        raise InvalidInput(msg)
    return _write(command.key, {**known, command.field: rest}, command.answer_s, context, is_new=False)


def seed_topology(command: SeedTopology, context: Context) -> tuple[str, ...]:
    """The keys of what was made or changed; what is there already with the same values is left.

    Raises:
        InvalidInput: there is no such topology, or the manager refuses a part of it.
        Unavailable: no manager answers.
    """
    from microservo.domain.manager.topologies import application_of  # noqa: PLC0415  # as below

    return _seed(application_of(read_topology(command.topology)), command.answer_s, context)


def seed_components(command: SeedComponents, context: Context) -> tuple[str, ...]:
    """As `seed_topology`, of the services that are components of regions."""
    from microservo.domain.manager.components import REGION_SERVICES  # noqa: PLC0415  # as below

    wanted = [each for each in REGION_SERVICES if not command.kinds or each.component in command.kinds]
    return _seed(wanted, command.answer_s, context)


def _seed(wanted: Sequence[Entity], answer_s: float, context: Context) -> tuple[str, ...]:
    """Makes entities as they are wanted; the keys of those that were otherwise."""
    from microservo.domain.manager.entities import document_of, entity_key  # noqa: PLC0415  # as below

    connection = context.connection
    entities = {entity_key(entity): document_of(entity) for entity in wanted}
    known = read_system_state(connection.broker, connection.topic_prefix)
    for key, document in entities.items():
        if key not in known or known[key].document != document:
            action: ControlAction = "update" if key in known else "create"
            asked = GiveCommand(action=action, entity=key, document=document, answer_s=answer_s)
            give_command(asked, context)
    return tuple(key for key in entities if key not in known or known[key].document != entities[key])


def _write(
    key: str, values: Mapping[str, object], answer_s: float, context: Context, *, is_new: bool
) -> Outcome:
    """Has it checked here first, so that nothing is sent that can't be."""
    from microservo.domain.manager.entities import document_of, entity_of  # noqa: PLC0415  # as below

    document = document_of(entity_of(key, json.dumps(values)))
    action: ControlAction = "create" if is_new else "update"
    return give_command(GiveCommand(action=action, entity=key, document=document, answer_s=answer_s), context)


def _view(change: Change) -> EntityView:
    kind, _, name = change.entity.partition("/")
    values = json.loads(change.document or "{}")
    # As `entities.owned`: a host or container changes hands without being written.
    if kind == "host":
        values["worker"] = "" if change.owner == MASTER else change.owner
    elif kind == "container" and values.get("managed_by"):
        values["managed_by"] = change.owner
    return EntityView(
        key=change.entity,
        kind=kind,
        name=name,
        owner=change.owner,
        version=change.version,
        updated_at_us=change.updated_at_us,
        values=values,
    )


def _name_of(element: object) -> str:
    return str(element["service"]) if isinstance(element, Mapping) else str(element)


def _parts(key: str) -> Sequence[str]:
    kind, _, name = key.partition("/")
    _check_kind(kind)
    if not name:
        msg = f"{key[:80]!r} has no name; write {kind}/NAME"
        raise InvalidInput(msg)
    return kind, name


def _check_kind(kind: str) -> None:
    from microservo.domain.manager.entities import KINDS  # noqa: PLC0415  # loads NumPy, as rules do

    if kind not in KINDS:
        msg = f"there is no kind {kind[:80]!r} of entity; take one of {', '.join(KINDS)}"
        raise InvalidInput(msg)


def _identity(kind: str, name: str) -> dict[str, object]:
    fields = _IDENTITIES.get(kind, ("name",))
    return dict(zip(fields, name.split(":", len(fields) - 1), strict=False))
