"""What brings a target under a system: processes that it starts, or pods that run already."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from microservo.adapters.files import write_whole
from microservo.domain.target_memory import topology_memory_bytes
from microservo.domain.topology import Topology
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.platforms.platform import services_of
from microservo.platforms.target import KubernetesTarget, kubernetes_platform, kubernetes_target
from microservo.supervision.supervisor import Supervisor
from microservo.system.managed import ManagedLauncher
from microservo.system.options import ClusterOptions, SystemOptions

_START_S = 120.0
_START_S_PER_INSTANCE = 8.0
"""Two processes for each, which load Python and what they need; a busy machine takes long to start many."""


class Launcher(Protocol):
    """Makes a target ready, and writes the state file by which others find it."""

    @property
    def name(self) -> str:
        """Of the target, for the record of the run."""

    @property
    def services(self) -> frozenset[str]:
        """Those that send telemetry without fail; empty where that is not known."""

    @property
    def entry(self) -> str | None:
        """The service that users call; None where that is not known."""

    @property
    def memory_bytes(self) -> int:
        """What it will take of this machine's memory before any fault; 0 for one that runs elsewhere."""

    @property
    def control_token(self) -> str:
        """What a collector must ask callers of its control API for; empty where nobody would call it."""

    def prepare(self) -> None:
        """Has the state file say which target it will be, before anybody looks for it.

        Raises:
            OSError: it can't be written.
        """

    @property
    def is_healthy(self) -> bool:
        """Whether there is a target, once it was started."""

    @property
    def ports(self) -> Mapping[str, int]:
        """Those of processes beside the target's, by what listens there."""

    def start(
        self,
        supervisor: Supervisor,
        otlp_url: str,
        *,
        collector: tuple[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Makes the target ready, and says of what it is made.

        Args:
            supervisor: keeps the processes that are started.
            otlp_url: where telemetry goes.
            collector: name of the collector's process in the supervisor, and where its control API answers;
                None where others run it.
            environment: of processes of ours that are started beside the target's: broker, prefix, run.

        Raises:
            Unavailable: it does not get ready.
        """

    def close(self) -> None:
        """Says of the target that it is gone, once its processes have ended."""


class LocalLauncher:
    """`Launcher` of a topology on this machine."""

    ports: Mapping[str, int] = MappingProxyType({})

    def __init__(self, options: SystemOptions, state_file: Path, log_dir: Path) -> None:
        self._options = options
        self._state_file = state_file
        self._log_dir = log_dir
        self._topology: Topology = read_topology(options.topology)
        self._runner: LocalTargetRunner | None = None
        self.name = self._topology.name
        self.services = frozenset(self._topology.services)
        self.entry: str | None = self._topology.entry
        self.memory_bytes = topology_memory_bytes(self._topology)
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
        self._runner = LocalTargetRunner(
            supervisor,
            topology=self._topology,
            topology_path=topology_file(self._options.topology).absolute(),
            state_file=self._state_file,
            otlp_url=otlp_url,
            log_dir=self._log_dir,
            seed=self._options.seed,
            journeys_per_s=self._options.journeys_per_s,
            control_token=self.control_token,
            collector=collector,
        )
        self._runner.start()
        instances = len(self._runner.state.instances)
        self._runner.wait_ready(max(_START_S, _START_S_PER_INSTANCE * instances))
        return f"{self.name}: {len(self.services)} services under load"

    @property
    def is_healthy(self) -> bool:
        # Instances come and go with the faults; without its users there is no target.
        return self._runner is not None and self._runner.state.loadgen.pid is not None

    def close(self) -> None:
        if self._runner is not None:
            with contextlib.suppress(OSError):
                self._runner.close()


class ClusterLauncher:
    """`Launcher` of what runs in a cluster: nothing is started, and nothing stopped."""

    services: frozenset[str] = frozenset()
    ports: Mapping[str, int] = MappingProxyType({})
    entry: str | None = None
    memory_bytes = 0
    # No mechanism there makes faults in the collector.
    control_token = ""

    def __init__(self, cluster: ClusterOptions, state_file: Path) -> None:
        self._target = KubernetesTarget(
            namespaces=cluster.namespaces,
            fault_namespaces=cluster.fault_namespaces,
            context=cluster.context,
        )
        self._state_file = state_file
        self._has_written = False
        self.is_healthy = True
        self.name = f"kubernetes {'+'.join(cluster.namespaces)}"

    def prepare(self) -> None:
        if kubernetes_target(self._state_file) != self._target:
            write_whole(self._state_file, self._target.model_dump_json().encode())
            self._has_written = True

    def start(
        self,
        supervisor: Supervisor,
        otlp_url: str,
        *,
        collector: tuple[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        found = services_of(kubernetes_platform(self._target))
        return f"{self.name}: {len(found)} services, {sum(map(len, found.values()))} pods"

    def close(self) -> None:
        # One that was there belongs to who put it there.
        if self._has_written:
            self._state_file.unlink(missing_ok=True)


def launcher_of(options: SystemOptions, state_file: Path, log_dir: Path) -> Launcher:
    """The launcher that options ask for.

    Args:
        options: of the system.
        state_file: what others find the target by.
        log_dir: gets one log per process that is started.

    Raises:
        InvalidInput: there is no such topology.
    """
    if options.hosts:
        return ManagedLauncher(options, state_file, log_dir)
    if options.cluster is None:
        return LocalLauncher(options, state_file, log_dir)
    return ClusterLauncher(options.cluster, state_file)
