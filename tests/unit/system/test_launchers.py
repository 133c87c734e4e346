"""What a target that is started shares with the collector of its run."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from microservo.domain.target_memory import topology_memory_bytes
from microservo.platforms.local.state import Collector, read_state
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import Supervisor
from microservo.system.launchers import launcher_of
from microservo.system.options import ClusterOptions, SystemOptions

COLLECTOR = ("telemetry-collector", "http://127.0.0.1:4444")


class Processes:
    """Stands for a supervisor whose collector runs, and starts nothing."""

    def pids(self) -> dict[str, int | None]:
        return {COLLECTOR[0]: 7}

    def add_listener(self, _listener: object) -> None: ...

    def start_all(self, _specs: object) -> None: ...

    def start(self, _spec: object) -> None: ...

    def wait_ready(self, _names: object, _timeout_s: float) -> None: ...


@pytest.mark.parametrize("collector", [COLLECTOR, None])
def test_the_injector_finds_the_token_that_the_collector_was_given_and_where_it_answers(
    tmp_path: Path, collector: tuple[str, str] | None
) -> None:
    launcher = launcher_of(SystemOptions(), tmp_path / "target.json", tmp_path)
    launcher.prepare()
    launcher.start(cast("Supervisor", Processes()), "http://127.0.0.1:4318", collector=collector)
    state = read_state(tmp_path / "target.json")
    assert state.control_token == launcher.control_token != ""
    assert state.collector == (Collector(pid=7, control_url=COLLECTOR[1]) if collector else None)


def test_the_collector_of_a_target_in_a_cluster_has_no_token(tmp_path: Path) -> None:
    options = SystemOptions(cluster=ClusterOptions(namespaces=("shop",)))
    assert not launcher_of(options, tmp_path / "target.json", tmp_path).control_token


def test_only_a_target_of_this_machine_takes_of_its_memory(tmp_path: Path) -> None:
    here = launcher_of(SystemOptions(topology="sock-shop"), tmp_path / "target.json", tmp_path)
    assert here.memory_bytes == topology_memory_bytes(read_topology("sock-shop"))
    options = SystemOptions(cluster=ClusterOptions(namespaces=("shop",)))
    assert launcher_of(options, tmp_path / "target.json", tmp_path).memory_bytes == 0
