"""What a launcher has launched: a container, or a component of a region, with the processes that it is."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.domain.geography import Coordinates
from microservo.platforms.driver import ContainerPlan
from microservo.platforms.local.commands import SIDECAR
from microservo.platforms.local.components import Component
from microservo.platforms.local.state import LocalInstance
from microservo.runtime.probe import is_healthy


@dataclass(slots=True)
class Launched:
    """A container, or a component of a region.

    Attributes:
        plan: of it.
        place: of its host.
        region: of its host.
        managed_by: the tag of who launched it.
        launched_us: when, epoch microseconds UTC.
        runs: its instance, or what it is a component with.
        was_ready: it has served.
        is_draining: it is being stopped, and gets no new requests.
        has_sidecar: the supervisor keeps one for it.
    """

    plan: ContainerPlan
    place: Coordinates
    region: str
    managed_by: str
    launched_us: int
    runs: LocalInstance | Component
    was_ready: bool = False
    is_draining: bool = False
    has_sidecar: bool = False

    @property
    def instance(self) -> LocalInstance | None:
        """Its instance; None for a component."""
        return self.runs if isinstance(self.runs, LocalInstance) else None

    @property
    def port(self) -> int:
        """Where callers reach it."""
        return self.runs.sidecar_port if isinstance(self.runs, LocalInstance) else self.runs.port

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of those that the supervisor keeps for it."""
        name = self.plan.id
        return (name + SIDECAR, name) if self.has_sidecar else (name,)

    def answers(self) -> bool:
        """Whether it serves."""
        if isinstance(self.runs, Component):
            return is_healthy(self.runs.health_url)
        return is_healthy(self.runs.control_url) and is_healthy(self.runs.sidecar_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakingCalls:
    """A container that callers are given.

    Attributes:
        id: of the container.
        url: base address of its sidecar.
        pid: of its process.
        place: of its host, as is `region`.
    """

    id: str
    service: str
    url: str
    pid: int
    place: Coordinates
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A component that is ready.

    Attributes:
        id: of the container.
        kind: registry, load-balancer or worker.
        url: base address of its API.
        place: of its host.
        region: that it is for.
    """

    id: str
    kind: str
    url: str
    place: Coordinates
    region: str
