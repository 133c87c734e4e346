"""The options of an embedded system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microservo.domain.window_policy import WindowPolicy
from microservo.log.topics import DEFAULT_PARTITIONS
from microservo.sources.declared import AnySource, check_names, source_named, sources_in
from microservo.supervision.system_file import DEFAULT_SYSTEM, system_dir
from microservo.system.hosts import HostOptions

ALGORITHMS = ("n-sigma", "random")
"""An algorithm, and chance as its control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """A target that runs in a Kubernetes cluster.

    Attributes:
        namespaces: those that belong to it, at least one.
        fault_namespaces: those in which others keep objects of Chaos Mesh that act on it, besides.
        context: in the kubeconfig; None for the current one.
    """

    namespaces: tuple[str, ...]
    fault_namespaces: tuple[str, ...] = ()
    context: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemOptions:
    """How a system shall run.

    Attributes:
        name: systems of different names run side by side.
        seed: of everything random in the run.
        journeys_per_s: rate of the users' journeys.
        partitions: of each topic that has to be made.
        topology: name of a shipped topology, or path of one.
        cluster: where the target runs already; None starts the topology on this machine.
        hosts: where a manager launches the topology and keeps it; without any it runs unmanaged.
        bootstrap_servers: a Kafka to use instead of the embedded one.
        topic_prefix: put before every topic name.
        policy: how windows are cut, in microseconds.
        otlp_host: address to take OTLP on; None takes it from this machine only.
        otlp_port: where to take OTLP/HTTP; another free port where something listens there, or for 0.
        otlp_grpc_port: where to take OTLP/gRPC; as above.
        fault_free_s: nothing is to be injected so many seconds after the first labelled window; thresholds
            of algorithms are found in what comes before.
        algorithms: shipped kinds that are deployed at the start, where they are not yet.
        alarms_per_hour: false alarms that the thresholds of these aim at, of all services together.
        algorithms_timeout_s: how long the target waits for them to run, so that nothing disturbs what it
            does without faults; it does not wait for 0.
        delays_us: how late the telemetry of services comes, in microseconds; of others it is learned.
        sources: what is read beside OTLP, each by a process and under a writer of its own.
        catalogue: whether a projector keeps the catalogue.
    """

    name: str = DEFAULT_SYSTEM
    seed: int = 0
    journeys_per_s: float = 8.0
    partitions: int = DEFAULT_PARTITIONS
    topology: str = "online-boutique"
    cluster: ClusterOptions | None = None
    hosts: tuple[HostOptions, ...] = ()
    bootstrap_servers: str | None = None
    topic_prefix: str = ""
    policy: WindowPolicy = field(default_factory=WindowPolicy)
    otlp_host: str | None = None
    otlp_port: int = 0
    otlp_grpc_port: int = 0
    fault_free_s: float = 120.0
    algorithms: tuple[str, ...] = ALGORITHMS
    alarms_per_hour: float = 1.0
    algorithms_timeout_s: float = 0.0
    delays_us: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[AnySource, ...] = ()
    catalogue: bool = False

    @property
    def folders(self) -> Folders:
        """Where the system keeps what it writes.

        Raises:
            InvalidInput: the name makes no safe folder.
        """
        return Folders(system_dir(self.name))


def declared_sources(named: Iterable[str], file: Path | None) -> tuple[AnySource, ...]:
    """The sources given as `KIND=ADDRESS` and in a file, each under a name of its own.

    Raises:
        InvalidInput: one can't be used, or two have one name.
    """
    found = (*map(source_named, named), *(sources_in(file) if file else ()))
    check_names(found)
    return found


@dataclass(frozen=True, slots=True)
class Folders:
    """The places in a system's folder."""

    root: Path

    @property
    def kafka(self) -> Path:
        """The embedded broker's data; it stays when the system ends."""
        return self.root / "kafka"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def target_state(self) -> Path:
        """The state file of the target."""
        return self.root / "target" / "target.json"

    def source(self, name: str) -> Path:
        """The declaration of a source, for the process that reads it."""
        return self.root / "sources" / f"{name}.json"

    @property
    def algorithms(self) -> Path:
        """Code, memory and logs of what is deployed; it stays when the system ends."""
        return self.root / "algorithms"

    @property
    def catalogue(self) -> Path:
        """The database of the catalogue; it stays when the system ends."""
        return self.root / "catalogue.sqlite"

    @property
    def tasks(self) -> Path:
        """What evaluation tasks write while they go on."""
        return self.root / "tasks"

    @property
    def processes(self) -> Path:
        """What the supervisor has started."""
        return self.root / "processes.json"
