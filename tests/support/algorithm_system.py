"""The algorithm runner as a process of its own, on a real broker, with all that it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from scored_run import BEGIN_US, SIZE_US, ScoredRun, once

from microservo import Client
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.processes import child_environment, python_argv
from microservo.supervision.environment_build import pip_variables
from microservo.testing import eventually
from schemas.records import AlgorithmState

STARTED_WITHIN_S = 120.0
"""A busy machine takes long to start ten processes and to check what they run."""


class AlgorithmSystem(ScoredRun):
    """A run, a client, and a runner that can be started, stopped and killed.

    Args:
        servers: the broker.
        prefix: of topics' names.
        folder: for what is deployed, and the runner's log.
        environments: shared by tests, since they take long to build.
        settings: environment variables of the runner and its hosts.
    """

    def __init__(self, servers: str, prefix: str, folder: Path, environments: Path, **settings: str) -> None:
        super().__init__(KafkaBroker(KafkaSettings(bootstrap_servers=servers)), prefix)
        self.folder = folder
        self.client = Client(servers, topic_prefix=prefix)
        self.environment = {
            **pip_variables(),
            "MICROSERVO_BOOTSTRAP_SERVERS": servers,
            "MICROSERVO_TOPIC_PREFIX": prefix,
            "MICROSERVO_RUN_ID": "run-1",
            "MICROSERVO_ALGORITHMS_FOLDER": str(folder / "algorithms"),
            "MICROSERVO_ENVIRONMENTS": str(environments),
            **settings,
        }
        self._next_number = 0
        self.runner: subprocess.Popen[bytes] | None = None

    def numbers(self, count: int) -> range:
        """Of windows that nobody has sent yet: those of a service come in order of time."""
        begin, self._next_number = self._next_number, self._next_number + count
        return range(begin, self._next_number)

    def start(self, run_id: str = "run-1") -> None:
        """Starts a runner."""
        with (self.folder / "runner.log").open("ab") as log:
            self.runner = subprocess.Popen(
                python_argv("services.algorithm_runner"),
                env=child_environment({**self.environment, "MICROSERVO_RUN_ID": run_id}),
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> list[psutil.Process]:
        """Ends the runner by a signal; what it had started by then."""
        assert self.runner is not None
        started = self.processes()
        self.runner.send_signal(number)
        self.runner.wait(60)
        return started

    def processes(self) -> list[psutil.Process]:
        """All that the runner has started, and what those have."""
        assert self.runner is not None
        return psutil.Process(self.runner.pid).children(recursive=True)

    def hosts(self, deployment_id: str) -> list[psutil.Process]:
        """The host processes of a version: one while it runs."""
        return [each for each in self.processes() if _is_host(each, deployment_id)]

    def host(self, deployment_id: str) -> psutil.Process:
        """The host process of a version that runs."""
        (found,) = self.hosts(deployment_id)
        return found

    def child(self, deployment_id: str) -> psutil.Process:
        """The process of the algorithm itself, behind the fence."""
        return self.host(deployment_id).children(recursive=True)[-1]

    def folder_of(self, deployment_id: str) -> Path:
        return self.folder / "algorithms" / deployment_id

    def log_of(self, deployment_id: str) -> str:
        return (self.folder_of(deployment_id) / "host.log").read_text()

    def until_scored(self, algorithm: str, numbers: range, version: int = 1) -> None:
        """Waits until each of these windows of each service has a score."""

        def missing() -> list[tuple[str, int]]:
            scored = self.scored(algorithm, version)
            return [each for each in once(numbers) if not scored[each]]

        what = f"scores of {algorithm}@{version}"
        eventually(lambda: not missing(), timeout_s=STARTED_WITHIN_S, interval_s=0.3, what=what)

    def until_state(self, phase: str, deployment_id: str) -> AlgorithmState:
        return self.until(phase, deployment_id, timeout_s=STARTED_WITHIN_S)

    def values(self, algorithm: str, version: int = 1) -> dict[tuple[str, int], set[tuple[str, str]]]:
        """By service and number of a window, its scores and what they are of: one where all goes well."""
        found: dict[tuple[str, int], set[tuple[str, str]]] = {}
        for each in self.scores(algorithm, version):
            key = each.service, (each.start_us - BEGIN_US) // SIZE_US
            found.setdefault(key, set()).add((repr(each.score), each.input_sha256))
        return found


@contextmanager
def algorithm_system(
    servers: str, prefix: str, folder: Path, environments: Path, **settings: str
) -> Iterator[AlgorithmSystem]:
    """A system whose runner is started, and ended with the block."""
    system = AlgorithmSystem(servers, prefix, folder, environments, **settings)
    system.start()
    try:
        yield system
    finally:
        if system.runner is not None and system.runner.poll() is None:
            system.end()


@contextmanager
def steady_windows(system: AlgorithmSystem, each_s: float) -> Iterator[list[int]]:
    """Windows that come all the while: at the end of the block, the numbers of those that came."""
    enough, sent = threading.Event(), list[int]()

    def send() -> None:
        while not enough.wait(each_s):
            numbers = system.numbers(1)
            system.add_windows(numbers)
            sent.extend(numbers)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        enough.set()
        thread.join()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of these is there any more."""
    return not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def _is_host(process: psutil.Process, deployment_id: str) -> bool:
    with contextlib.suppress(psutil.Error):
        if "services.algorithm_host" in process.cmdline():
            return process.environ()["MICROSERVO_ALGORITHM_FOLDER"].endswith(f"/{deployment_id}")
    return False


def environments_of_tests() -> Path:
    """Shared by all test runs of this checkout; built where they are missing."""
    return Path(os.environ.get("MICROSERVO_TEST_ENVIRONMENTS", "build/algorithm-environments")).absolute()
