"""A target that a manager runs on hosts: a launcher owns it, and the manager is asked to launch it there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.client import Client
from microservo.domain.target_memory import topology_memory_bytes
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.platforms.local.token import VARIABLE, new_token
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from microservo.system.hosts import HostOptions
from microservo.system.options import SystemOptions

T = TypeVar("T")

LAUNCHER = "launcher"
_START_S = 120.0
_STOP_S = 30.0
_ASK_S = 0.5
_HOST_START_S = 1.0


class ManagedLauncher:
    """`Launcher` of a topology whose containers a manager launches, through `driver_url`.

    Args:
        options: of the system; they name hosts.
        state_file: what others find the target by, in the launcher's folder.
        log_dir: gets the launcher's log; those of containers are beside the state file.
    """

    def __init__(self, options: SystemOptions, state_file: Path, log_dir: Path) -> None:
        self._options = options
        self._state_file = state_file
        self._log_dir = log_dir
        self._port, self.registry_port = free_ports(2)
        self._topology = read_topology(options.topology)
        self._supervisor: Supervisor | None = None
        self.name = self._topology.name
        self.services = frozenset(self._topology.services)
        self.entry: str | None = self._topology.entry
        self.memory_bytes = topology_memory_bytes(self._topology)
        self.control_token = new_token()
        self.driver_url = f"http://127.0.0.1:{self._port}"

    def prepare(self) -> None:
        # One that was killed may have left a file that names a cluster.
        self._state_file.unlink(missing_ok=True)

    def start(
        self, supervisor: Supervisor, otlp_url: str, *, collector: tuple[str, str] | None = None
    ) -> str:
        self._supervisor = supervisor
        options = self._options
        arguments = (
            f"--topology={topology_file(options.topology).absolute()}",
            f"--folder={self._state_file.parent}",
            f"--otlp={otlp_url}",
            f"--port={self._port}",
            f"--seed={options.seed}",
            f"--journeys-per-s={options.journeys_per_s}",
            f"--host-start-s={_HOST_START_S}",
            f"--registry=http://127.0.0.1:{self.registry_port}",
        )
        supervisor.start(
            ProcessSpec(
                name=LAUNCHER,
                argv=python_argv("services.launcher", *arguments),
                env={VARIABLE: self.control_token},
                log=self._log_dir / f"{LAUNCHER}.log",
                stop_timeout_s=_STOP_S,
                ready=lambda: is_healthy(self.driver_url),
            )
        )
        supervisor.wait_ready([LAUNCHER], _START_S)
        return f"{self.name}: {len(self.services)} services, {len(options.hosts)} hosts"

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
    for host in hosts:
        launch.asked(partial(launch.write, host))
        launch.asked(partial(launch.join, host.name))
    launch.wait_for_nodes({host.name for host in hosts})
    launch.asked(lambda: client.manager.seed(topology))
    app = read_topology(topology)
    launch.wait_for_services(app.name, app.services.keys(), near=(hosts[0].latitude, hosts[0].longitude))
    return f"{len(app.services)} services run near {hosts[0].name}"


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

    def write(self, host: HostOptions) -> None:
        """Tells the manager of a host."""
        known = {each.name for each in self._manager.list("host")}
        values = {name: value for name, value in host.model_dump().items() if name != "name"}
        write = self._manager.update if host.name in known else self._manager.create
        write(f"host/{host.name}", **values, is_ours=True)

    def join(self, host: str) -> None:
        """Has a host join; one that was a node of an earlier time, and is down, leaves first."""
        ready = {each.name: each.values["is_ready"] for each in self._manager.list("node")}
        if ready.get(host):
            return
        if host in ready:
            self._manager.leave(host)
        self._manager.join(host)

    def wait_for_nodes(self, hosts: Collection[str]) -> None:
        """Waits until hosts take containers."""
        while missing := set(hosts) - self.read(self._ready):
            self._wait(f"hosts {', '.join(sorted(missing))} have not joined")

    def wait_for_services(self, app: str, services: Collection[str], *, near: tuple[float, float]) -> None:
        """Launches an app until all of its services run; what runs is not launched again."""
        while missing := set(services) - self.read(self._running):
            self.asked(lambda: self._launch_app(app, near))
            self._wait(f"services {', '.join(sorted(missing))} do not run")

    def _launch_app(self, app: str, near: tuple[float, float]) -> None:
        if not any(each.name == f"launch-app:{app}" for each in self._manager.list("pending-action")):
            self._manager.launch_app(app, near=near)

    def _ready(self) -> set[str]:
        return {each.name for each in self._manager.list("node") if each.values["is_ready"]}

    def _running(self) -> set[str]:
        containers = self._manager.list("container")
        return {str(each.values["service"]) for each in containers if each.values["state"] == "running"}

    def _wait(self, what: str) -> None:
        if time.monotonic() > self._deadline_s:
            msg = f"{what}; `microservo manage events` and the logs tell why"
            raise Unavailable(msg)
        time.sleep(_ASK_S)
