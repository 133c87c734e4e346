"""Evaluators as processes of their own, started and ended by a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import child_environment, python_argv
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually


class Evaluators:
    """Evaluators as processes of their own."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> psutil.Process:
        (port,) = free_ports(1)
        environment = {
            **self._environment,
            "MICROSERVO_HEALTH_PORT": str(port),
            "MICROSERVO_BOARD_INTERVAL_S": "0.2",
            # One for all of them: none may remove what another one works on.
            "MICROSERVO_TASKS_FOLDER": str(self._folder / "tasks"),
        }
        with (self._folder / f"evaluator-{len(self._running)}.log").open("ab") as log:
            process = subprocess.Popen(
                python_argv("services.evaluator"),
                env=child_environment(environment),
                stdout=log,
                stderr=log,
            )
        self._running.append(process)
        eventually(lambda: is_healthy(f"http://127.0.0.1:{port}"), timeout_s=90, what="the evaluator")
        return psutil.Process(process.pid)

    def kill_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._running.clear()

    def end_all(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            assert process.wait(90) == 0
        self._running.clear()


@contextmanager
def evaluators(environment: Mapping[str, str], folder: Path) -> Iterator[Evaluators]:
    found = Evaluators(environment, folder)
    try:
        yield found
    finally:
        found.kill_all()
