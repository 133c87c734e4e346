"""A target that a manager runs on hosts: a launcher owns it, and the manager is asked to launch it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from microservo.adapters.kafka import KafkaBroker
from microservo.application.connection import kafka_settings
from microservo.client import Client
from microservo.domain.geography import Coordinates
from microservo.domain.target_memory import topology_memory_bytes
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import Supervisor
from microservo.system.hosts import HostOptions
from microservo.system.managing import LAUNCHER, ManagingProcesses, managing_ports
from microservo.system.options import SystemOptions

T = TypeVar("T")

_START_S = 120.0
_SERVICES_S = 300.0
_ASK_S = 0.5
_HOST_START_S = 1.0


class ManagedLauncher:
    """`Launcher` of a topology whose containers a manager launches on hosts.

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
        for spec in (
            managing.registry(),
            managing.launcher(Coordinates(first.latitude, first.longitude)),
            managing.manager(),
        ):
            supervisor.start(spec)
            supervisor.wait_ready([spec.name], _START_S)
        broker = KafkaBroker(kafka_settings(environment["MICROSERVO_BOOTSTRAP_SERVERS"]))
        client = Client(broker=broker, topic_prefix=options.topic_prefix)
        return launch_on_hosts(client, options.hosts, options.topology, timeout_s=_SERVICES_S)

    @property
    def is_healthy(self) -> bool:
        return self._supervisor is not None and self._supervisor.pids().get(LAUNCHER) is not None

    def close(self) -> None:
        """Nothing: the launcher removes the state file when it ends."""


def launch_on_hosts(client: Client, hosts: Sequence[HostOptions], topology: str, *, timeout_s: float) -> str:
    """Has the manager launch a topology on the first of some hosts, which all join; says where it runs.

    What the log has of an earlier time stays: hosts that are known, and rules, decide as before.

    Args:
        client: of the system.
        hosts: that join.
        topology: name of a shipped one, or path of a file.
        timeout_s: how many seconds to wait.

    Raises:
        InvalidInput: the manager refuses a host or the topology.
        Unavailable: no manager answers, or a host or service is not there in time.
    """
    launch = Launch(client, time.monotonic() + timeout_s)
    launch.asked(launch.greet)
    for host in hosts:
        launch.asked(partial(launch.write, host))
        launch.asked(partial(launch.join, host.name))
    launch.wait_for_nodes({host.name for host in hosts})
    launch.asked(lambda: client.manager.seed(topology))
    app = read_topology(topology)
    launch.wait_for_services(app.name, app.services.keys(), near=(hosts[0].latitude, hosts[0].longitude))
    return f"{app.name}: {len(app.services)} services near {hosts[0].name}, {len(hosts)} hosts"


class Launch:
    """The steps of a launch, each of which may be repeated, with one deadline (of the monotonic clock)."""

    def __init__(self, client: Client, deadline_s: float) -> None:
        self._manager = client.manager
        self._deadline_s = deadline_s

    def asked(self, step: Callable[[], object]) -> None:
        """Asks the manager for something until it answers.

        One that was too busy to answer in time has often done it all the same, and refuses it the next time;
        then the step looks once more at what there is.
        """
        is_again = False
        while True:
            try:
                step()
            except InvalidInput as error:
                if not is_again:
                    raise
                is_again = False
                self._wait(str(error))
            except (Retryable, Unavailable) as error:
                is_again = True
                self._wait(str(error))
            else:
                return

    def read(self, step: Callable[[], T]) -> T:
        """Reads what the log has, once the broker gives it."""
        while True:
            try:
                return step()
            except (Retryable, Unavailable) as error:
                self._wait(str(error))

    def greet(self) -> None:
        """Writes the settings as they are: who answers has seen what there is, and has said so on the log.

        Until then the log has hosts and containers of an earlier time.
        """
        is_known = any(each.name == "manager" for each in self._manager.list("settings"))
        write = self._manager.update if is_known else self._manager.create
        write("settings/manager")

    def write(self, host: HostOptions) -> None:
        """Tells the manager of a host; one that it knows is the master's, and gets the values of now."""
        known = {each.name: each for each in self._manager.list("host")}
        if host.name in known and known[host.name].values["worker"]:
            # The worker has ended with the system that it was of.
            self._manager.assign(host.name, "")
        given = {name: value for name, value in host.model_dump().items() if name != "name"}
        values = {**given, "is_ours": True}
        if host.name not in known:
            self._manager.create(f"host/{host.name}", **values)
        elif any(known[host.name].values[name] != value for name, value in values.items()):
            self._manager.update(f"host/{host.name}", **values)

    def join(self, host: str) -> None:
        """Has a host join, or start again if it was a node of an earlier time."""
        if host not in self._ready():
            self._manager.join(host)

    def wait_for_nodes(self, hosts: Collection[str]) -> None:
        """Waits until hosts take containers."""
        while missing := set(hosts) - self.read(self._ready):
            self._wait(f"hosts {', '.join(sorted(missing))} have not joined")

    def wait_for_services(self, app: str, services: Collection[str], *, near: tuple[float, float]) -> None:
        """Launches an app until all of its services run.

        What runs is not launched again, and neither is what the manager brings back from an earlier time.
        """
        while missing := set(services) - self.read(partial(self._services, frozenset({"running"}))):
            if missing - self.read(partial(self._services, None)):
                self.asked(lambda: self._launch_app(app, near))
            self._wait(f"services {', '.join(sorted(missing))} do not run")

    def _launch_app(self, app: str, near: tuple[float, float]) -> None:
        if not any(each.name == f"launch-app:{app}" for each in self._manager.list("pending-action")):
            self._manager.launch_app(app, near=near)

    def _ready(self) -> set[str]:
        return {each.name for each in self._manager.list("node") if each.values["is_ready"]}

    def _services(self, states: frozenset[str] | None) -> set[str]:
        """Services with a container in one of these states, or in any."""
        containers = self._manager.list("container")
        return {
            str(each.values["service"])
            for each in containers
            if states is None or each.values["state"] in states
        }

    def _wait(self, what: str) -> None:
        if time.monotonic() > self._deadline_s:
            msg = f"{what}; `microservo manage events` and the logs tell why"
            raise Unavailable(msg)
        time.sleep(_ASK_S)
