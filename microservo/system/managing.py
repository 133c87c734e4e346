"""The processes by which a target is managed: a registry, the launcher of containers, the master manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.geography import Coordinates
from microservo.platforms.local.places import place_text
from microservo.platforms.local.remote_driver import LAUNCHER_URL, MANAGER_DRIVER, RemoteDriver
from microservo.platforms.local.token import VARIABLE
from microservo.platforms.local.topology_files import topology_file
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec
from microservo.system.options import SystemOptions

REGISTRY, LAUNCHER, MANAGER = "registry", "launcher", "manager"
REGISTRY_API = "registry-api"
_STOP_S = 10.0
_MANAGER_STOP_S = 60.0
"""It stops all that it manages."""
_LAUNCHER_STOP_S = 30.0


def managing_ports() -> dict[str, int]:
    """A free port for each of these processes, by what listens there."""
    names = (LAUNCHER, REGISTRY_API, REGISTRY, MANAGER)
    return dict(zip(names, free_ports(len(names)), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagingProcesses:
    """Makes the specs of these processes.

    Attributes:
        options: of the system.
        state_file: what others find the target by; its folder is the launcher's.
        logs: folder that gets a log of each.
        environment: that all processes of the system get: broker, prefix, run.
        ports: as of `managing_ports`; of registry and manager for their health.
        token: that they show each other.
        tag: of the managers.
        otlp_url: where the target's telemetry goes.
        collector_url: control API of the collector, with the same token; empty where there is none.
        host_start_s: seconds that a host needs to start.
    """

    options: SystemOptions
    state_file: Path
    logs: Path
    environment: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int]
    token: str = field(repr=False)
    tag: str
    otlp_url: str
    collector_url: str
    host_start_s: float = 2.0

    @property
    def launcher_url(self) -> str:
        """Where drivers ask."""
        return f"http://127.0.0.1:{self.ports[LAUNCHER]}"

    @property
    def driver(self) -> RemoteDriver:
        """What the managers have."""
        return RemoteDriver(self.launcher_url, self.token, managed_by=self.tag)

    def registry(self) -> ProcessSpec:
        """Is told from where services are asked for, and of containers in regions without one."""
        port = str(self.ports[REGISTRY_API])
        return self._spec(REGISTRY, "services.registry", _STOP_S, MICROSERVO_REGISTRY_PORT=port)

    def launcher(self, users_at: Coordinates | None) -> ProcessSpec:
        """Owns hosts, containers and users, who are at a place where one is given."""
        options = self.options
        # One word, since a number below 0 by itself looks like an option.
        place = (f"--users-at={place_text(users_at)}",) if users_at is not None else ()
        return ProcessSpec(
            name=LAUNCHER,
            argv=(
                *python_argv("services.launcher"),
                *("--topology", str(topology_file(options.topology).absolute())),
                *("--folder", str(self.state_file.parent)),
                *("--port", str(self.ports[LAUNCHER]), "--seed", str(options.seed)),
                *("--otlp", self.otlp_url, "--collector", self.collector_url),
                *("--registry", f"http://127.0.0.1:{self.ports[REGISTRY_API]}"),
                *("--journeys-per-s", str(options.journeys_per_s)),
                *("--host-start-s", str(self.host_start_s)),
                *place,
            ),
            # Components of regions reach the broker by it.
            env={**self.environment, VARIABLE: self.token},
            log=self.logs / f"{LAUNCHER}.log",
            stop_timeout_s=_LAUNCHER_STOP_S,
            ready=lambda: is_healthy(self.launcher_url),
        )

    def manager(self) -> ProcessSpec:
        """Decides what runs where."""
        return self._spec(
            MANAGER,
            "services.manager",
            _MANAGER_STOP_S,
            MICROSERVO_MANAGER_DRIVER=MANAGER_DRIVER,
            MICROSERVO_MANAGER_TAG=self.tag,
            MICROSERVO_MANAGER_SEED=str(self.options.seed),
            **{LAUNCHER_URL: self.launcher_url},
        )

    def _spec(self, name: str, module: str, stop_timeout_s: float, **env: str) -> ProcessSpec:
        port = self.ports[name]
        return ProcessSpec(
            name=name,
            argv=python_argv(module),
            env={**self.environment, "MICROSERVO_HEALTH_PORT": str(port), VARIABLE: self.token, **env},
            log=self.logs / f"{name}.log",
            stop_timeout_s=stop_timeout_s,
            ready=lambda: is_healthy(f"http://127.0.0.1:{port}"),
        )
