"""The components of regions as processes of this machine: registry, load balancer, worker.

They talk to the broker, whose address and credentials they take from the launcher's environment, as any
service of ours does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.geography import Coordinates
from microservo.domain.manager.entities import worker_name
from microservo.errors import InvalidInput
from microservo.platforms.driver import ContainerPlan
from microservo.platforms.local.commands import loopback_url
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.remote_driver import LAUNCHER_URL, MANAGER_DRIVER
from microservo.platforms.local.token import VARIABLE
from microservo.runtime.environment import PREFIX

_STOP_S = 15.0
_WORKER_STOP_S = 45.0
"""It stops all that it manages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """How a component is run, and where it answers.

    Attributes:
        port: where others reach it: users those of a balancer, containers a registry.
        api_url: where it is told what it needs, as a balancer its servers.
        health_url: whose /healthz says whether it serves.
        folder: of its own, removed with it; None for none.
        argv: of its process.
        env: added to the launcher's.
        stop_timeout_s: how long it may take to end in order.
    """

    port: int
    api_url: str
    health_url: str
    folder: Path | None = None
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    stop_timeout_s: float = _STOP_S

    def clear(self) -> None:
        """Removes its folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def component_of(
    plan: ContainerPlan, where: Coordinates, region: str, managed_by: str, place: LocalPlace
) -> Component:
    """How a component is run, on ports that are free now.

    Args:
        plan: of it.
        where: its host is.
        region: that it is for.
        managed_by: the tag of its managers.
        place: what all containers share.

    Raises:
        InvalidInput: nothing here says which broker it is to use, or of a worker where the launcher is.
    """
    if not place.has_broker:
        msg = (
            f"{plan.id} is a {plan.component}, which needs a broker; start the launcher with "
            f"{PREFIX}BOOTSTRAP_SERVERS and, where the broker asks for them, its credentials"
        )
        raise InvalidInput(msg)
    port, api_port, health_port = free_ports(3)
    common = {VARIABLE: place.control_token, f"{PREFIX}HEALTH_PORT": str(health_port)}
    health_url = loopback_url(health_port)
    if plan.component == "registry":
        return Component(
            port=port,
            api_url=loopback_url(port),
            health_url=health_url,
            argv=python_argv("services.registry"),
            env={**common, **_registry(plan.id, where, region, port)},
        )
    if plan.component == "load-balancer":
        folder = _folder_for_nginx()
        return Component(
            port=port,
            api_url=loopback_url(api_port),
            health_url=health_url,
            folder=folder,
            argv=python_argv("services.balancer"),
            env={**common, **_balancer(plan.id, where, port, api_port, folder)},
        )
    if not place.launcher_url:
        msg = f"{plan.id} is a worker, which needs the address of this launcher; start one as a process"
        raise InvalidInput(msg)
    return Component(
        port=health_port,
        api_url=health_url,
        health_url=health_url,
        argv=python_argv("services.manager"),
        env={**common, **_worker(region, managed_by, place.launcher_url)},
        stop_timeout_s=_WORKER_STOP_S,
    )


def _folder_for_nginx() -> Path:
    """One that its workers can enter too, who are another user where the launcher is root's."""
    folder = Path(tempfile.mkdtemp(prefix="microservo-balancer-"))
    folder.chmod(0o755)
    return folder


def _registry(name: str, where: Coordinates, region: str, port: int) -> dict[str, str]:
    return {
        f"{PREFIX}REGISTRY_NAME": name,
        f"{PREFIX}REGISTRY_LATITUDE": repr(where.latitude),
        f"{PREFIX}REGISTRY_LONGITUDE": repr(where.longitude),
        f"{PREFIX}REGISTRY_REGION": region,
        f"{PREFIX}REGISTRY_HOST": "",
        f"{PREFIX}REGISTRY_PORT": str(port),
        f"{PREFIX}REGISTRY_URL": "",
    }


def _balancer(name: str, where: Coordinates, port: int, api_port: int, folder: Path) -> dict[str, str]:
    return {
        f"{PREFIX}BALANCER_NAME": name,
        f"{PREFIX}BALANCER_LATITUDE": repr(where.latitude),
        f"{PREFIX}BALANCER_LONGITUDE": repr(where.longitude),
        f"{PREFIX}BALANCER_HOST": "",
        f"{PREFIX}BALANCER_PORT": str(port),
        f"{PREFIX}BALANCER_API_HOST": "",
        f"{PREFIX}BALANCER_API_PORT": str(api_port),
        f"{PREFIX}BALANCER_FOLDER": str(folder),
    }


def _worker(region: str, managed_by: str, launcher_url: str) -> dict[str, str]:
    return {
        f"{PREFIX}MANAGER_NAME": worker_name(region),
        f"{PREFIX}MANAGER_REGION": region,
        f"{PREFIX}MANAGER_DRIVER": MANAGER_DRIVER,
        f"{PREFIX}MANAGER_TAG": managed_by,
        LAUNCHER_URL: launcher_url,
    }
