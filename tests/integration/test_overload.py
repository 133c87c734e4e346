"""Users of a real front that calls a real back, asked for more than it can do for a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from microservo.adapters.ports import free_ports
from microservo.testing import eventually

pytestmark = pytest.mark.integration

STARTED_WITHIN_S = 120.0
# A collapsed target stays so for good. A busy machine makes a healthy one slow to come back.
BACK_WITHIN_S = 40.0
OVERLOAD_S = 20.0
# Parts of what the back can do. With ten attempts for each call that fails, the normal load alone would ask
# for 2.5 times as much as that.
NORMAL, OVERLOAD = 0.25, 2.0
TOKEN = {"Authorization": "Bearer token-of-the-test"}
ENVIRONMENT = {**os.environ, "MICROSERVO_CONTROL_TOKEN": "token-of-the-test"}
NOBODY = "http://127.0.0.1:1"
# Without a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Few may be in flight at the front: a slow machine is asked for little, and must turn some away all the same.
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
max_active = 8
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 500, retries = 9 }]
[services.back.endpoints.Work]
cpu_ms = 15.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""


class Pair:
    """The two instances and their users."""

    def __init__(self, folder: Path) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._front, self._back, self._users = free_ports(2), free_ports(2), free_ports(1)
        (folder / "pair.toml").write_text(TOPOLOGY)
        (folder / "peers.json").write_text(json.dumps({"back": [f"http://127.0.0.1:{self._back[0]}"]}))

    def start(self) -> None:
        for core, (name, (port, control_port)) in enumerate(
            {"front": self._front, "back": self._back}.items()
        ):
            options = ["--service", name, "--instance", f"{name}-0", "--core", str(core)]
            options += ["--peers", str(self._folder / "peers.json"), "--port", str(port)]
            options += ["--data", str(self._folder / name)]
            self._start("workload", name, control_port, options)
        options = ["--entry-url", f"http://127.0.0.1:{self._front[0]}", "--rate", "1"]
        self._start("loadgen", "users", self._users[0], options)

    def capacity(self) -> float:
        """Calls a second that the back can do on this machine, as busy as that is now."""
        url = f"http://127.0.0.1:{self._back[0]}/Work"

        def ask(_: int) -> None:
            request = urllib.request.Request(url, method="POST")
            OPENER.open(request, timeout=STARTED_WITHIN_S).close()

        began_s = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(CALLS)))
        return CALLS / (time.monotonic() - began_s)

    def change_rate(self, journeys_per_s: float) -> None:
        data = json.dumps({"journeys_per_s": journeys_per_s}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._users[0]}/rate", data=data, method="PUT", headers=TOKEN
        )
        OPENER.open(request, timeout=STARTED_WITHIN_S).close()

    def counts(self, of: str) -> dict[str, float]:
        """The figures on the page of metrics of `front`, `back` or `users`, by name."""
        port = {"front": self._front[1], "back": self._back[1], "users": self._users[0]}[of]
        with OPENER.open(f"http://127.0.0.1:{port}/metrics", timeout=STARTED_WITHIN_S) as answer:
            lines = answer.read().decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}

    def failed_share(self, seconds: float) -> float:
        """Of the users' requests that end within so many seconds from now."""
        before = self.counts("users")
        time.sleep(seconds)
        after = self.counts("users")
        ended, failed = (after[name] - before[name] for name in (REQUESTS, ERRORS))
        return failed / ended if ended else 1.0

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def _start(self, program: str, name: str, control_port: int, options: Sequence[str]) -> None:
        arguments = [
            sys.executable,
            "-m",
            f"services.{program}",
            "--topology",
            str(self._folder / "pair.toml"),
        ]
        arguments += ["--otlp", NOBODY, "--control-port", str(control_port), *options]
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes.append(subprocess.Popen(arguments, stdout=log, stderr=log, env=ENVIRONMENT))
        eventually(lambda: is_healthy(control_port), timeout_s=STARTED_WITHIN_S, what=f"{name} is healthy")


CALLS = 100
REQUESTS, ERRORS = "http_client_request_count", "http_client_request_errors"
REJECTED = "http_server_request_rejected"


def is_healthy(control_port: int) -> bool:
    try:
        OPENER.open(f"http://127.0.0.1:{control_port}/healthz", timeout=STARTED_WITHIN_S).close()
    except OSError:
        return False
    return True


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    try:
        pair.start()
        yield pair
    finally:
        for process in pair.processes:
            process.kill()
            process.wait()


def test_a_target_that_was_asked_for_too_much_is_itself_again_soon_after(pair: Pair) -> None:
    eventually(lambda: pair.failed_share(2.0) < 0.1, timeout_s=STARTED_WITHIN_S, what="users are served")
    capacity = pair.capacity()

    rate = OVERLOAD * capacity
    pair.change_rate(rate)
    while (under_overload := pair.failed_share(OVERLOAD_S)) <= 0.2 and rate < 16 * OVERLOAD * capacity:
        # Others kept the machine busy when its capacity was measured, and don't now.
        rate *= 2
        pair.change_rate(rate)
    pair.change_rate(NORMAL * capacity)
    assert under_overload > 0.2, "it was no overload"
    eventually(lambda: pair.failed_share(3.0) < 0.1, timeout_s=BACK_WITHIN_S, what="users are served again")

    # What was turned away looks as it does when it happens by chance.
    assert pair.counts("front")[REJECTED] > 0
    assert "Page turned away, too many requests are in flight" in pair.log("front")
