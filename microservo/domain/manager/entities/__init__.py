"""What the manager knows of: one frozen dataclass a kind, each a JSON document on `system-state`."""

from microservo.domain.manager.entities.applications import (
    App,
    AppService,
    ComponentType,
    Dependency,
    Port,
    Prediction,
    Service,
    ServiceType,
    expand_launch,
)
from microservo.domain.manager.entities.components import (
    LoadBalancer,
    RegistrationServer,
    StaticAddress,
    Worker,
    worker_name,
)
from microservo.domain.manager.entities.containers import GONE, TAKES_PART, Container, ContainerState
from microservo.domain.manager.entities.documents import (
    KINDS,
    Entity,
    document_of,
    entity_key,
    entity_of,
    id_of,
    kind_of,
    owned,
)
from microservo.domain.manager.entities.hosts import Host, HostState, Node, Place
from microservo.domain.manager.entities.pending import PendingAction
from microservo.domain.manager.entities.policies import NamedCondition, NamedRule, Settings, rules_of
from microservo.domain.manager.entities.regions import RegionCentre, regions_of_world

__all__ = [
    "GONE",
    "KINDS",
    "TAKES_PART",
    "App",
    "AppService",
    "ComponentType",
    "Container",
    "ContainerState",
    "Dependency",
    "Entity",
    "Host",
    "HostState",
    "LoadBalancer",
    "NamedCondition",
    "NamedRule",
    "Node",
    "PendingAction",
    "Place",
    "Port",
    "Prediction",
    "RegionCentre",
    "RegistrationServer",
    "Service",
    "ServiceType",
    "Settings",
    "StaticAddress",
    "Worker",
    "document_of",
    "entity_key",
    "entity_of",
    "expand_launch",
    "id_of",
    "kind_of",
    "owned",
    "regions_of_world",
    "rules_of",
    "worker_name",
]
