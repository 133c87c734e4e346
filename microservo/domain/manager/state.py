"""All that one manager knows, indexed so that no event costs a look at everything.

The state belongs to its decider and is changed in place: a hundred thousand containers are not copied for
each event. It is a function of the events alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from microservo.domain.geography import Coordinates, DemandWindow, Region, region_of
from microservo.domain.manager.changes import MASTER
from microservo.domain.manager.entities import (
    GONE,
    App,
    ComponentType,
    Container,
    Dependency,
    Entity,
    Host,
    NamedCondition,
    NamedRule,
    Node,
    PendingAction,
    Prediction,
    RegionCentre,
    Service,
    Settings,
    id_of,
    kind_of,
    regions_of_world,
    rules_of,
)
from microservo.domain.manager.host_columns import HostColumns
from microservo.domain.manager.indexes import Measured, Names, Retries, add_entry, discard_entry, set_entry
from microservo.domain.manager.policy import Deployed
from microservo.domain.placement import Need
from microservo.domain.rules import (
    HOST_STREAKS,
    SERVICE_STREAKS,
    Field,
    Measurements,
    Rule,
    SimulatedMetric,
    Streaks,
)
from microservo.errors import InvalidInput

COMMANDS_KEPT = 10_000
"""How many command ids are remembered: so far back the same one is carried out once."""
_PLACES_KEPT = 100_000
_RULE_KINDS = ("rule", "condition", "field")
_NO_SETTINGS = Settings()


class SystemState:
    """Entities, indexes over them, and what is measured.

    Args:
        name: of the manager that decides: master, or that of a worker.
    """

    def __init__(self, name: str = MASTER) -> None:
        self.name = name
        self.seed = 0
        """Of simulated metrics, and of policies that draw by lot."""
        self.deployed = Deployed()
        self.entities: dict[str, dict[str, Any]] = {}
        self.owners: dict[str, str] = {}
        self.containers: dict[str, Container] = {}
        self.hosts: dict[str, Host] = {}
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, Service] = {}
        self.apps: dict[str, App] = {}
        self.pending: dict[str, PendingAction] = {}
        self.predictions: dict[str, Prediction] = {}
        self.by_service: dict[str, Names] = {}
        self.by_host: dict[str, Names] = {}
        self.by_region: dict[str, Names] = {}
        """Containers of services that are no components."""
        self.replaced_by: dict[str, str] = {}
        """The container that is launched in place of another one."""
        self.waiting_for: dict[str, Names] = {}
        """Containers by the host that they wait for."""
        self.dependencies: dict[str, Names] = {}
        self.dependents: dict[str, Names] = {}
        self.columns = HostColumns()
        self.of_containers = Measured(Measurements("container", ()), Streaks(SERVICE_STREAKS))
        self.of_hosts = Measured(Measurements("host", ()), Streaks(HOST_STREAKS))
        self.demand: dict[str, DemandWindow] = {}
        self.unsettled: Names = {}
        """Services that may have fewer replicas than they need."""
        self.retries = Retries()
        self.unsettled_regions: Names = {}
        self.deadlines: OrderedDict[str, int] = OrderedDict()
        """When a container has to have started, the earliest first."""
        self.commands: OrderedDict[str, None] = OrderedDict()
        self.heard_us: dict[str, int] = {}
        """When each process was heard of last."""
        self.silent: Names = {}
        self.joining: Names = {}
        """Hosts that are started in order to join the cluster."""
        self.is_caught_up = False
        """Whether all that was there at first is known: before that, much seems to be missing."""
        self.evaluated_us = 0
        self.ticked_us = 0
        self.rules: tuple[Rule, ...] = ()
        self.regions: tuple[Region, ...] = regions_of_world(())
        self._region_names: dict[Coordinates, str] = {}
        """The region of each place that was asked for: mostly those of hosts."""
        self._are_rules_old = False
        self._numbered = 0

    @property
    def settings(self) -> Settings:
        """What the manager keeps to."""
        found: Settings = self.of_kind("settings").get(_NO_SETTINGS.name, _NO_SETTINGS)
        return found

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """Entities by id."""
        return self.entities.get(kind, {})

    def entity(self, key: str) -> Entity | None:
        """The entity of a key; None where there is none."""
        kind, _, identity = key.partition("/")
        found: Entity | None = self.of_kind(kind).get(identity)
        return found

    def owner_of(self, key: str) -> str:
        """Whose an entity is; the master's where nobody owns it."""
        return self.owners.get(key, MASTER)

    def is_own(self, key: str) -> bool:
        """Whether an entity is this manager's."""
        return self.owner_of(key) == self.name

    def is_mine(self, host: str) -> bool:
        """Whether this manager acts on a host itself."""
        found = self.hosts.get(host)
        return found is not None and (found.worker or MASTER) == self.name

    def manages(self, container: Container) -> bool:
        """Whether this manager acts on a container itself; never on one that others started."""
        return container.managed_by == self.name

    @property
    def decides_for_services(self) -> bool:
        """Whether this manager decides how many containers a service has: the master, while it is heard."""
        return self.name == MASTER or MASTER in self.silent

    def is_up(self, container: Container) -> bool:
        """Whether it counts as a replica: it takes part, and whoever manages it is heard."""
        return container.takes_part and container.managed_by not in self.silent

    def containers_of(self, service: str) -> list[Container]:
        """All containers of a service, by name."""
        return [self.containers[name] for name in sorted(self.by_service.get(service, ()))]

    def containers_on(self, host: str) -> list[Container]:
        """All containers on a host, by name."""
        return [self.containers[name] for name in sorted(self.by_host.get(host, ()))]

    def replicas(self, service: str) -> int:
        """Containers of a service that will stay: without those that are stopped once another one runs."""
        return sum(
            self.is_up(self.containers[name]) and name not in self.replaced_by
            for name in self.by_service.get(service, ())
        )

    def minimum(self, service: Service, now_us: int) -> int:
        """The most that the service and any prediction in force ask for."""
        asked = (
            each.minimum_replicas
            for each in self.predictions.values()
            if each.service == service.name and each.is_in_force(now_us)
        )
        most = max(asked, default=0)
        return max(service.minimum_replicas, most)

    def need(self, service: str) -> Need:
        """What a container of a service will take."""
        found = self.services.get(service)
        if found is None:
            return Need()
        return Need(memory_bytes=found.memory_bytes, cpu_cores=found.cores, disk_bytes=found.disk_bytes)

    def component_of(self, container: Container) -> ComponentType:
        """Which component of its region a container is; empty for any other one."""
        found = self.services.get(container.service)
        return "" if found is None else found.component

    def kept_places(self, service: str) -> int:
        """Containers of a service that were given up, or wait for room or a volume: each keeps a place."""
        return sum(self.containers[name].state in GONE for name in self.by_service.get(service, ()))

    def place_of(self, container: Container) -> Coordinates:
        """Where its host is, or else where it is wanted."""
        host = self.hosts.get(container.host)
        if host is not None:
            return Coordinates(host.latitude, host.longitude)
        return Coordinates(container.latitude, container.longitude)

    def wanted_at(self, service: str, now_us: int) -> Coordinates | None:
        """The centre of the demand for a service; None where no requests are known."""
        window = self.demand.get(service)
        centre = window.centre(now_us=now_us) if window is not None else None
        return centre.coordinates if centre is not None else None

    def region_of(self, place: Coordinates) -> str:
        """The name of the region that a place belongs to."""
        found = self._region_names.get(place)
        if found is None:
            if len(self._region_names) >= _PLACES_KEPT:
                self._region_names.clear()
            found = self._region_names[place] = region_of(place, self.regions).name
        return found

    def put(self, entity: Entity, owner: str) -> None:
        """Enters an entity as it is now."""
        kind, identity = kind_of(entity), id_of(entity)
        before = self.of_kind(kind).get(identity)
        self.owners[f"{kind}/{identity}"] = owner
        if before == entity:
            return
        self.entities.setdefault(kind, {})[identity] = entity
        self._index(kind, identity, entity)

    def remove(self, key: str) -> None:
        """Forgets an entity; nothing where it isn't known."""
        kind, _, identity = key.partition("/")
        if self.entities.get(kind, {}).pop(identity, None) is not None:
            self.owners.pop(key, None)
            self._index(kind, identity, None)

    def next_number(self) -> int:
        """Tells names apart that are given out at one instant, whichever event leads to them."""
        self._numbered += 1
        return self._numbered

    def current_rules(self) -> tuple[Rule, ...]:
        """The rules with their conditions; those before, where a change can't be meant."""
        if self._are_rules_old:
            self._are_rules_old = False
            try:
                self.rules = self.rules_with({})
            except InvalidInput:
                return self.rules
            for rule in self.rules:
                of = self.of_hosts if rule.scope == "host" else self.of_containers
                for condition in rule.conditions:
                    of.metrics.add_field(condition.field)
        return self.rules

    def rules_with(self, changed: Mapping[str, Entity | None]) -> tuple[Rule, ...]:
        """The rules as they would be with some entities changed, by key; None deletes.

        Raises:
            InvalidInput: they can't be meant.
        """
        found = {kind: dict(self.of_kind(kind)) for kind in _RULE_KINDS}
        for key, entity in changed.items():
            kind, _, identity = key.partition("/")
            if kind in found and entity is None:
                found[kind].pop(identity, None)
            elif kind in found:
                found[kind][identity] = entity
        rules: dict[str, NamedRule] = found["rule"]
        conditions: dict[str, NamedCondition] = found["condition"]
        fields: dict[str, Field] = found["field"]
        return rules_of(list(rules.values()), conditions, queries=fields)

    def simulated(self) -> list[SimulatedMetric]:
        """All simulated metrics, by name."""
        found: Mapping[str, SimulatedMetric] = self.of_kind("simulated-metric")
        return [found[name] for name in sorted(found)]

    def _index(self, kind: str, identity: str, entity: Any) -> None:
        if kind in _RULE_KINDS:
            self._are_rules_old = True
        indexes: dict[str, Callable[[str, Any], None]] = {
            "container": self._index_container,
            "host": self._index_host,
            "node": self._index_node,
            "service": self._index_service,
            "app": self._index_app,
            "dependency": self._index_dependencies,
            "region": self._index_regions,
        }
        index = indexes.get(kind)
        if index is not None:
            index(identity, entity)
        elif kind == "pending-action":
            set_entry(self.pending, identity, entity)
        elif kind == "prediction":
            set_entry(self.predictions, identity, entity)
            self.unsettled.update(dict.fromkeys(self.services))

    def _index_container(self, name: str, container: Container | None) -> None:
        before = self.containers.get(name)
        if before is not None:
            discard_entry(self.by_service, before.service, name)
            discard_entry(self.by_host, before.host, name)
            discard_entry(self.by_region, before.region, name)
            discard_entry(self.waiting_for, before.host, name)
            if self.replaced_by.get(before.replaces) == name:
                del self.replaced_by[before.replaces]
            self._unsettle(before)
        set_entry(self.containers, name, container)
        if container is None:
            self._forget_container(name)
            return
        self._unsettle(container)
        add_entry(self.by_service, container.service, name)
        add_entry(self.by_host, container.host, name)
        service = self.services.get(container.service)
        # One that is down comes back there, and its manager has to be there to bring it back.
        stays = container.takes_part or container.state == "down"
        if stays and container.region and (service is None or service.type != "system"):
            add_entry(self.by_region, container.region, name)
        if container.state == "waiting":
            add_entry(self.waiting_for, container.host, name)
        if container.replaces and container.takes_part:
            self.replaced_by[container.replaces] = name
        self._measure_container(container)
        self._reserve(container)

    def _unsettle(self, container: Container) -> None:
        self.unsettled[container.service] = None
        if container.region:
            self.unsettled_regions[container.region] = None

    def _forget_container(self, name: str) -> None:
        self.of_containers.metrics.remove(name)
        self.columns.release(name)
        self.deadlines.pop(name, None)

    def _measure_container(self, container: Container) -> None:
        """Gives it a place among what is measured while it runs."""
        if container.state != "running":
            self.of_containers.metrics.remove(container.name)
            return
        service = self.services.get(container.service)
        is_governed = service is not None and service.is_governed and container.managed_by != ""
        slot = self.of_containers.metrics.add(container.name)
        self.of_containers.membership.assign(slot, container.service, is_governed=is_governed)

    def _reserve(self, container: Container) -> None:
        """Keeps room for it until its host was measured with it."""
        if container.state in ("waiting", "starting"):
            self.columns.reserve(container.name, container.host, self.need(container.service))
        elif container.state == "running":
            self.columns.settle(container.name, container.started_at_us)
        else:
            self.columns.release(container.name)

    def _index_host(self, name: str, host: Host | None) -> None:
        set_entry(self.hosts, name, host)
        if host is None:
            self.of_hosts.metrics.remove(name)
        else:
            slot = self.of_hosts.metrics.add(name)
            # Whoever manages a host decides about it, and nobody about the one that the manager runs on.
            governed = self.is_mine(name) and not host.is_managers
            self.of_hosts.membership.assign(slot, is_governed=governed)
        self.refresh_columns(name)

    def _index_node(self, name: str, node: Node | None) -> None:
        set_entry(self.nodes, name, node)
        self.refresh_columns(name)

    def refresh_columns(self, name: str) -> None:
        """Enters a host among those that containers may go to, or takes it out."""
        host = self.hosts.get(name)
        worker = host.worker if host is not None else ""
        is_reached = self.name in (MASTER, worker) and worker not in self.silent
        if host is None or not is_reached or (self.name == MASTER and host.state == "down"):
            self.columns.remove(name)
        else:
            self.columns.put(host, self.nodes.get(name))

    def _index_service(self, name: str, service: Service | None) -> None:
        set_entry(self.services, name, service)
        self.unsettled[name] = None
        for container in self.containers_of(name):
            self._measure_container(container)
        if service is not None and service.component:
            self.unsettled_regions.update(dict.fromkeys(self.by_region))

    def _index_app(self, name: str, app: App | None) -> None:
        set_entry(self.apps, name, app)
        apps = {each.name: [one.service for one in each.services] for each in self.apps.values()}
        self.of_containers.membership.apps = apps

    def _index_dependencies(self, _: str, __: Dependency | None) -> None:
        self.dependencies, self.dependents = {}, {}
        for dependency in self.of_kind("dependency").values():
            add_entry(self.dependencies, dependency.service, dependency.dependency)
            add_entry(self.dependents, dependency.dependency, dependency.service)

    def _index_regions(self, _: str, __: RegionCentre | None) -> None:
        self.regions = regions_of_world(self.of_kind("region").values())
        self._region_names.clear()
