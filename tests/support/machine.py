"""A machine with a launcher, and a fleet of managers on it: containers are real processes."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from managers import TAG, Fleet, fleet

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.platforms.local.remote_driver import RemoteDriver
from microservo.platforms.local.state import read_state
from microservo.platforms.local.token import VARIABLE, new_token
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec, Supervisor

TIMEOUT_S = 120.0
_TOPOLOGY = "topology.toml"
# Without a proxy, whatever the environment says.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Machine:
    """A launcher with its topology, and a fleet that is managed on it."""

    def __init__(self, world: Fleet, state: Path, topology: Path, token: str) -> None:
        self.world = world
        self.topology = topology
        self.token = token
        self._state = state

    def pid(self, container: str) -> int:
        found = read_state(self._state).instance(container)
        assert found is not None
        assert found.pid is not None
        return found.pid

    def kill(self, process: str) -> None:
        """Kills a process that the launcher has started, by its name."""
        record = json.loads((self._state.parent / "launcher-processes.json").read_text())
        os.kill(record[process][0], signal.SIGKILL)

    def addresses(self, service: str) -> list[str]:
        return [
            each.address for each in self.world.driver.containers() if each.service == service and each.ready
        ]

    def is_served(self) -> bool:
        """Whether a user's request to the entry goes through, by way of the other service."""
        request = urllib.request.Request(f"http://{self.addresses('front')[0]}/Page", method="POST")
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)


@dataclass(frozen=True, slots=True)
class Launcher:
    """A launcher that runs."""

    supervisor: Supervisor
    folder: Path
    url: str
    token: str

    def driver(self, tag: str) -> RemoteDriver:
        return RemoteDriver(self.url, self.token, managed_by=tag)


def state_file(folder: Path) -> Path:
    """What a launcher in a folder says of its containers; what collectors read."""
    return folder / "run" / "target.json"


@contextmanager
def launcher_of(
    folder: Path,
    topology: str,
    *,
    otlp: str = "http://127.0.0.1:1",
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Launcher]:
    """A launcher of the services of a topology, with further options, until the end of the block."""
    (folder / _TOPOLOGY).write_text(topology)
    [port] = free_ports(1)
    url, token, run = f"http://127.0.0.1:{port}", new_token(), state_file(folder).parent
    argv = [*python_argv("services.launcher"), "--topology", str(folder / _TOPOLOGY), "--folder", str(run)]
    argv += ["--otlp", otlp, "--port", str(port), "--host-start-s", "0.3", *options]
    with Supervisor() as supervisor:
        supervisor.start(
            ProcessSpec(
                name="launcher",
                argv=tuple(argv),
                env={**(environment or {}), VARIABLE: token},
                log=folder / "launcher.log",
                stop_timeout_s=TIMEOUT_S,
                ready=lambda: is_healthy(url),
            )
        )
        supervisor.wait_ready(["launcher"], TIMEOUT_S)
        yield Launcher(supervisor, run, url, token)


@contextmanager
def machine_of(
    broker: KafkaBroker,
    prefix: str,
    folder: Path,
    topology: str,
    *,
    otlp: str = "http://127.0.0.1:1",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Machine]:
    """A machine that runs a topology, until the end of the block."""
    with (
        launcher_of(folder, topology, otlp=otlp, environment=environment) as launcher,
        fleet(broker, prefix, launcher.driver(TAG)) as world,
    ):
        yield Machine(world, state_file(folder), folder / _TOPOLOGY, launcher.token)
