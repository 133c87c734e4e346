"""What every platform keeps to, on a local target of two services: real processes under a supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from microservo.adapters.ports import free_ports
from microservo.domain.topology_file import load_topology
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.runner import LocalTargetRunner
from microservo.platforms.local.state import read_state
from microservo.supervision.supervisor import Supervisor
from microservo.testing.checks import Check
from microservo.testing.platforms import CHECKS

START_S = 120
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
calls = [ { service = "back", endpoint = "Get" } ]
[services.back.endpoints.Get]
[[journeys]]
name = "look"
steps = [ { endpoint = "Home" } ]
"""


@pytest.fixture(scope="module")
def state_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("target")
    (home / "tiny.toml").write_text(TINY)
    with Supervisor() as supervisor:
        runner = LocalTargetRunner(
            supervisor,
            topology=load_topology(TINY, "tiny.toml"),
            topology_path=home / "tiny.toml",
            state_file=home / "target.json",
            otlp_url=f"http://127.0.0.1:{free_ports(1)[0]}",
            log_dir=home / "logs",
            seed=7,
            journeys_per_s=2,
        )
        runner.start()
        runner.wait_ready(START_S)
        yield home / "target.json"
    runner.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_local_platform(check: Check, state_file: Path) -> None:
    check(lambda: LocalPlatform(state_file))


def test_the_token_of_a_target_is_on_no_command_line_and_in_no_log(state_file: Path) -> None:
    state = read_state(state_file)
    for pid in (*(each.pid for each in state.instances), *(each.sidecar_pid for each in state.instances)):
        assert pid is not None
        assert state.control_token not in " ".join(psutil.Process(pid).cmdline())
    logs = list((state_file.parent / "logs").glob("*.log"))
    assert logs
    assert not [log for log in logs if state.control_token in log.read_text("utf-8", "replace")]


def test_no_process_of_a_target_obeys_who_does_not_know_its_token(state_file: Path) -> None:
    state = read_state(state_file)
    apis = [url for each in state.instances for url in (each.control_url, each.sidecar_url)]
    for path, addresses in (("/faults", apis), ("/rate", [state.loadgen.control_url])):
        for address in addresses:
            ControlClient(address, state.control_token).call("GET", path)
            with pytest.raises(InvalidInput, match="refused with 401"):
                ControlClient(address, "another").call("GET", path)
