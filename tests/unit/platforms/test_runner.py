"""What the state file of a local target says of the collector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import Collector, read_state
from microservo.platforms.local.topology_files import read_topology, topology_file
from microservo.supervision.supervisor import Supervisor

URL = "http://127.0.0.1:4444"


class Processes:
    """Stands for a supervisor that keeps the collector, and starts nothing."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str, int | None], None]] = []

    def pids(self) -> dict[str, int | None]:
        return {"telemetry-collector": 7}

    def add_listener(self, listener: Callable[[str, int | None], None]) -> None:
        self._listeners.append(listener)

    def start_all(self, _specs: object) -> None: ...

    def start(self, _spec: object) -> None: ...

    def write_document(self, _path: Path, write: Callable[[], None]) -> None:
        write()

    def report(self, name: str, pid: int | None) -> None:
        for listener in self._listeners:
            listener(name, pid)


def runner(processes: Processes, folder: Path, collector: tuple[str, str] | None) -> LocalTargetRunner:
    return LocalTargetRunner(
        cast("Supervisor", processes),
        topology=read_topology("online-boutique"),
        topology_path=topology_file("online-boutique"),
        state_file=folder / "target.json",
        otlp_url="http://127.0.0.1:4318",
        log_dir=folder,
        seed=7,
        journeys_per_s=1,
        collector=collector,
    )


def test_the_collector_is_known_with_its_process_and_each_one_that_follows(tmp_path: Path) -> None:
    processes = Processes()
    runner(processes, tmp_path, ("telemetry-collector", URL)).start()

    def known() -> Collector | None:
        return read_state(tmp_path / "target.json").collector

    assert known() == Collector(pid=7, control_url=URL)
    for pid in (None, 8):
        processes.report("telemetry-collector", pid)
        assert known() == Collector(pid=pid, control_url=URL)
    processes.report("streams", 9)
    assert known() == Collector(pid=8, control_url=URL)


@pytest.mark.parametrize("name", ["telemetry-collector", "streams"])
def test_of_a_collector_that_others_run_nothing_is_said(tmp_path: Path, name: str) -> None:
    processes = Processes()
    runner(processes, tmp_path, None).start()
    processes.report(name, 9)
    assert read_state(tmp_path / "target.json").collector is None
