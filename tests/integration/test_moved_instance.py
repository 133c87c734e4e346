"""An instance moves under load: another one takes its place, and no request is lost."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asking_users import USERS, use

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.platforms.local.peers import LOOK_S, write_peers
from microservo.platforms.local.token import VARIABLE, new_token
from microservo.runtime.probe import is_healthy
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TIMEOUT_S = 120.0
MOVES = 3
# No retries, so that each lost call is a failed request; and each takes a while, so that some are in flight.
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back.endpoints.Work]
cpu_ms = 1.0
noise = { slow_share = 0.5, slow_ms = 50.0 }
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Pair:
    """A front that calls a back, which moves."""

    def __init__(self, folder: Path, supervisor: Supervisor) -> None:
        self.folder = folder
        self.peers = folder / "peers.json"
        self._supervisor = supervisor
        self._token = new_token()
        (folder / "pair.toml").write_text(TOPOLOGY)
        write_peers(self.peers, {})

    def start(self, service: str, instance: str) -> tuple[str, str]:
        """Where the instance answers, and its control API, once it is ready."""
        port, control_port = free_ports(2)
        control_url = f"http://127.0.0.1:{control_port}"
        argv = [*python_argv("services.workload"), "--topology", str(self.folder / "pair.toml")]
        argv += ["--service", service, "--instance", instance, "--port", str(port)]
        argv += ["--control-port", str(control_port), "--peers", str(self.peers)]
        argv += ["--otlp", "http://127.0.0.1:1", "--data", str(self.folder / "data" / instance)]
        self._supervisor.start(
            ProcessSpec(
                name=instance,
                argv=tuple(argv),
                env={VARIABLE: self._token},
                log=self.folder / f"{instance}.log",
                stop_timeout_s=TIMEOUT_S,
                ready=lambda: is_healthy(control_url),
            )
        )
        self._supervisor.wait_ready([instance], TIMEOUT_S)
        return f"http://127.0.0.1:{port}", control_url

    def stop_once_idle(self, instance: str, control_url: str) -> None:
        """Stops an instance that nobody is sent to any more, when it has answered all that came."""
        changed_s = time.monotonic()
        eventually(lambda: time.monotonic() > changed_s + 2 * LOOK_S, what="all callers to look again")
        eventually(lambda: figure(control_url, "active") == 0, timeout_s=TIMEOUT_S, what="the last answer")
        self._supervisor.stop(instance)


def figure(control_url: str, what: str) -> float:
    """A figure of an instance's page of metrics, by a word of its name."""
    with OPENER.open(f"{control_url}/metrics", timeout=TIMEOUT_S) as answer:
        page = answer.read().decode()
    found = re.search(rf"^http_server_\w*{what}\w* (\S+)$", page, re.MULTILINE)
    assert found, page
    return float(found[1])


def wait_called(control_url: str) -> None:
    eventually(lambda: figure(control_url, "request_count") > 0, timeout_s=TIMEOUT_S, what="a call")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with Supervisor() as supervisor:
        yield Pair(tmp_path, supervisor)


def test_a_move_under_load_loses_no_request(pair: Pair) -> None:
    address, control = pair.start("back", "back-0")
    write_peers(pair.peers, {"back": [address]})
    front, _ = pair.start("front", "front-0")
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        load = pool.submit(asyncio.run, use(front, stop))
        try:
            for number in range(1, MOVES + 1):
                wait_called(control)
                address, next_control = pair.start("back", f"back-{number}")
                write_peers(pair.peers, {"back": [address]})
                pair.stop_once_idle(f"back-{number - 1}", control)
                control = next_control
            wait_called(control)
        finally:
            stop.set()
        statuses = load.result(TIMEOUT_S)
    assert set(statuses) == {200}, statuses
    assert statuses[200] > USERS
