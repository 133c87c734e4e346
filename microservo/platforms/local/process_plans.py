"""What a container is made of on this machine: which processes, on which ports, with how much memory."""

from __future__ import annotations

import re
from dataclasses import replace

from microservo.adapters.ports import free_ports
from microservo.domain.geography import Coordinates
from microservo.domain.target_memory import COMPONENT_BYTES, instance_memory_bytes
from microservo.errors import InvalidInput
from microservo.platforms.driver import ContainerPlan, HostPlan
from microservo.platforms.local.commands import LOADGEN, SIDECAR, TargetCommands, new_instance
from microservo.platforms.local.components import Component, component_of
from microservo.platforms.local.launched import Launched
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.places import region_name, vicinity
from microservo.platforms.local.state import LocalInstance
from microservo.platforms.local.token import VARIABLE
from microservo.supervision.supervisor import ProcessSpec

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class ProcessPlans:
    """Plans the processes of one target.

    Args:
        place: what its containers share.
    """

    def __init__(self, place: LocalPlace) -> None:
        self._place = place
        self._services = place.topology.services
        self._commands = TargetCommands(
            topology_path=place.topology_path, peers=place.peers, otlp_url=place.otlp_url, seed=place.seed
        )

    def check(self, plan: ContainerPlan) -> None:
        """Refuses what can't be on any host.

        Raises:
            InvalidInput: its id, volume or service can't be.
        """
        if not _ID.fullmatch(plan.id) or plan.id.endswith(SIDECAR) or plan.id == LOADGEN:
            msg = f"{plan.id!r} can't be an id here; take letters, digits, '.', '_', '-', e.g. cart-7f3a"
            raise InvalidInput(msg)
        if plan.volume is not None:
            msg = f"{plan.id} wants volume {plan.volume!r}; containers here keep nothing, so ask for none"
            raise InvalidInput(msg)
        if plan.service not in self._services and not plan.component:
            msg = f"there is no service {plan.service!r}; choose one of {sorted(self._services)}"
            raise InvalidInput(msg)

    def memory_bytes(self, plan: ContainerPlan) -> int:
        """What a container takes at the most."""
        if plan.component:
            return COMPONENT_BYTES
        return instance_memory_bytes(self._services[plan.service])

    def launched(self, plan: ContainerPlan, host: HostPlan, managed_by: str, now_us: int) -> Launched:
        """A container on ports that are free now; nothing is started.

        Raises:
            InvalidInput: a component needs what there is not.
        """
        region = region_name(host.coordinates, plan.region or host.region)
        runs: LocalInstance | Component
        if plan.component:
            runs = component_of(plan, host.coordinates, region, managed_by, self._place)
        else:
            first, second, third, fourth = free_ports(4)
            runs = new_instance(plan.service, plan.id, (first, second, third, fourth))
        return Launched(
            plan, host.coordinates, region, managed_by, now_us, runs, has_sidecar=not plan.component
        )

    def specs(self, new: Launched) -> list[ProcessSpec]:
        """The processes of a container."""
        plan = new.plan
        if isinstance(new.runs, Component):
            spec = self._spec(plan.id, new.runs.argv, plan.id)
            env = {**plan.environment, **new.runs.env}
            return [replace(spec, env=env, restart="never", stop_timeout_s=new.runs.stop_timeout_s)]
        near = vicinity(new.place, host=plan.host, region=new.region)
        data = self._place.folder / "data" / plan.id
        sidecar = self._spec(plan.id + SIDECAR, self._commands.sidecar(new.runs, new.place), plan.id)
        workload = self._spec(plan.id, self._commands.workload(new.runs, data, new.place, near), plan.id)
        return [sidecar, replace(workload, env={**plan.environment, **workload.env}, restart="never")]

    def users(self, control_url: str, journeys_per_s: float, place: Coordinates | None) -> ProcessSpec:
        """The process of the users; arguments as of `TargetCommands.loadgen`."""
        return self._spec(LOADGEN, self._commands.loadgen(control_url, journeys_per_s, place), LOADGEN)

    def _spec(self, name: str, argv: tuple[str, ...], log: str) -> ProcessSpec:
        place = self._place
        env = {VARIABLE: place.control_token}
        return ProcessSpec(name=name, argv=argv, env=env, log=place.folder / "logs" / f"{log}.log")
