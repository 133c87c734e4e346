"""A target that a manager runs on hosts: a launcher owns it, and the manager is asked to launch it there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.nginx import find_nginx
from microservo.application.connection import kafka_settings
from microservo.application.manager_entities import ComponentKind
from microservo.client import Client
from microservo.errors import Unavailable
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import Supervisor
from microservo.system.app_placing import AppPlacing
from microservo.system.managing import LAUNCHER, ManagingProcesses, managing_ports
from microservo.system.memory import moved_topology_bytes
from microservo.system.options import SystemOptions

_START_S = 120.0
_PLACED_S = 300.0
_PLACED_S_PER_SERVICE = 8.0
"""Two processes for each, which load Python and what they need; a busy machine takes long to start many."""
_HOST_START_S = 1.0


class ManagedLauncher:
    """`Launcher` of a topology whose containers a manager launches on hosts.

    ::

        registry ─► launcher with users ─► master manager ─► hosts join ─► services on the first host
                                                                              └─► components of its region

    Args:
        options: of the system; they name hosts.
        state_file: what others find the target by, in the launcher's folder.
        log_dir: gets logs of registry, launcher and manager; those of containers are beside the state file.
    """

    def __init__(self, options: SystemOptions, state_file: Path, log_dir: Path) -> None:
        self._options = options
        self._state_file = state_file
        self._log_dir = log_dir
        self._topology = read_topology(options.topology)
        self._supervisor: Supervisor | None = None
        self.ports: Mapping[str, int] = managing_ports()
        self.name = self._topology.name
        self.services = frozenset(self._topology.services)
        self.entry: str | None = self._topology.entry
        self.memory_bytes = moved_topology_bytes(self._topology)
        self.control_token = new_token()

    def prepare(self) -> None:
        # One that was killed may have left a file that names a cluster.
        self._state_file.unlink(missing_ok=True)

    def start(
        self,
        supervisor: Supervisor,
        otlp_url: str,
        *,
        collector: tuple[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        self._supervisor = supervisor
        environment, options = environment or {}, self._options
        first = options.hosts[0]
        managing = ManagingProcesses(
            options=options,
            state_file=self._state_file,
            logs=self._log_dir,
            environment=environment,
            ports=self.ports,
            token=self.control_token,
            tag=environment["MICROSERVO_RUN_ID"],
            otlp_url=otlp_url,
            collector_url="" if collector is None else collector[1],
            host_start_s=_HOST_START_S,
        )
        for spec in (managing.registry(), managing.launcher(first.coordinates), managing.manager()):
            supervisor.start(spec)
            supervisor.wait_ready([spec.name], _START_S)
        broker = KafkaBroker(kafka_settings(environment["MICROSERVO_BOOTSTRAP_SERVERS"]))
        client = Client(broker=broker, topic_prefix=options.topic_prefix)
        timeout_s = _PLACED_S + _PLACED_S_PER_SERVICE * len(self.services)
        placing = AppPlacing(client, managing.driver, timeout_s)
        placing.join_hosts(options.hosts)
        placing.run_app(options.topology, near=first.coordinates)
        kinds, lacking = _components()
        placing.ask(lambda: client.manager.seed_components(*kinds))
        placed = f"{len(self.services)} services near {first.name}, {len(options.hosts)} hosts"
        return f"{self.name}: {placed}{lacking}"

    @property
    def is_healthy(self) -> bool:
        return self._supervisor is not None and self._supervisor.pids().get(LAUNCHER) is not None

    def close(self) -> None:
        """Nothing: the launcher removes the state file when it ends."""


def _components() -> tuple[tuple[ComponentKind, ...], str]:
    """The kinds of components that regions get on this machine, and what is to be said of others."""
    try:
        find_nginx()
    except Unavailable as error:
        return ("registry", "worker"), f"; no load balancers: {error}"
    return ("registry", "load-balancer", "worker"), ""
