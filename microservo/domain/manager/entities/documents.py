"""Entities to JSON documents and back: the same entity has the same bytes, and nothing unknown is let in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from microservo.domain.documents import problem
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities.applications import App, Dependency, Prediction, Service
from microservo.domain.manager.entities.components import (
    LoadBalancer,
    RegistrationServer,
    StaticAddress,
    Worker,
)
from microservo.domain.manager.entities.containers import Container
from microservo.domain.manager.entities.hosts import Host, Node
from microservo.domain.manager.entities.pending import PendingAction
from microservo.domain.manager.entities.policies import NamedCondition, NamedRule, Settings
from microservo.domain.manager.entities.regions import RegionCentre
from microservo.domain.rules import Field, SimulatedMetric
from microservo.errors import InvalidInput

Entity = (
    App
    | Container
    | Dependency
    | Field
    | Host
    | LoadBalancer
    | NamedCondition
    | NamedRule
    | Node
    | PendingAction
    | Prediction
    | RegionCentre
    | RegistrationServer
    | Service
    | Settings
    | SimulatedMetric
    | StaticAddress
    | Worker
)

KINDS: Mapping[str, type[Any]] = {
    "app": App,
    "condition": NamedCondition,
    "container": Container,
    "dependency": Dependency,
    "field": Field,
    "host": Host,
    "load-balancer": LoadBalancer,
    "node": Node,
    "pending-action": PendingAction,
    "prediction": Prediction,
    "region": RegionCentre,
    "registration-server": RegistrationServer,
    "rule": NamedRule,
    "service": Service,
    "settings": Settings,
    "simulated-metric": SimulatedMetric,
    "static-address": StaticAddress,
    "worker": Worker,
}
"""The class of each kind."""
_KIND_OF = {class_: kind for kind, class_ in KINDS.items()}
_IDENTITIES: Mapping[type[Any], Callable[[Any], str]] = {
    Dependency: lambda entity: f"{entity.service}:{entity.dependency}",
    Node: lambda entity: entity.host,
}


def kind_of(entity: Entity) -> str:
    """What an entity is, as keys begin."""
    return _KIND_OF[type(entity)]


def id_of(entity: Entity) -> str:
    """Its identity among those of its kind."""
    found = _IDENTITIES.get(type(entity))
    return found(entity) if found is not None else str(getattr(entity, "name"))  # noqa: B009


def entity_key(entity: Entity) -> str:
    """Kind and id, as on `system-state`.

    Example:
        >>> entity_key(Dependency(service="cart", dependency="cart-db"))
        'dependency/cart:cart-db'
    """
    return f"{kind_of(entity)}/{id_of(entity)}"


def document_of(entity: Entity) -> str:
    """The entity as JSON text: sorted keys, sorted sets, no spaces."""
    return json.dumps(
        asdict(entity), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=sorted
    )


def entity_of(key: str, document: str) -> Entity:
    """The entity of a document.

    Args:
        key: kind and id, with a slash between.
        document: JSON text.

    Raises:
        InvalidInput: there is no such kind, or the document is none of it; says where and what.
    """
    kind, _, identity = key.partition("/")
    if kind not in KINDS:
        msg = f"there is no kind {kind[:80]!r} of entity; take one of {', '.join(KINDS)}"
        raise InvalidInput(msg)
    try:
        entity: Entity = _adapter(kind).validate_json(document, strict=True, extra="forbid")
    except ValidationError as error:
        msg = f"{key[:80]}: {problem(error)}; correct the document"
        raise InvalidInput(msg) from error
    if id_of(entity) != identity:
        msg = f"{key[:80]!r} has a document of {entity_key(entity)[:80]!r}; give both the same name"
        raise InvalidInput(msg)
    return entity


def owned(entity: Entity, owner: str) -> Entity:
    """The entity with its owner as who manages it: a host or container changes hands without being written.

    Args:
        entity: as it was written last, maybe by an owner before.
        owner: whose it is.
    """
    if isinstance(entity, Host):
        return replace(entity, worker="" if owner == MASTER else owner)
    if isinstance(entity, Container) and entity.managed_by:
        return replace(entity, managed_by=owner)
    return entity


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(KINDS[kind])
