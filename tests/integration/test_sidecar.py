"""The sidecar as a process beside an instance that is killed, paused and brought back."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from microservo.adapters.ports import free_ports
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PATIENCE_S = 120
TOKEN = "token-of-the-test"
DELAY = {"kind": "network-delay", "parameters": {"latency_us": 200_000, "jitter_us": 0}}
INSTANCE = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hello).serve_forever()
"""


class Site:
    """An instance and its sidecar, both under a supervisor."""

    def __init__(self, supervisor: Supervisor, log_dir: Path) -> None:
        instance_port, self.port, self.admin_port = free_ports(3)
        self._supervisor = supervisor
        sidecar = (
            *(sys.executable, "-m", "services.sidecar", "--instance", "cart-0", "--listen", str(self.port)),
            *("--upstream", f"127.0.0.1:{instance_port}", "--admin-port", str(self.admin_port)),
        )
        instance = (sys.executable, "-c", INSTANCE, str(instance_port))
        supervisor.start_all(
            [
                ProcessSpec(name="cart-0", argv=instance, log=log_dir / "cart.log"),
                ProcessSpec(
                    name="sidecar",
                    argv=sidecar,
                    env={"MICROSERVO_CONTROL_TOKEN": TOKEN},
                    log=log_dir / "sidecar.log",
                ),
            ]
        )
        eventually(lambda: self.ask(self.port)[0] == 200, timeout_s=PATIENCE_S, what="an answer")

    def pid(self, name: str) -> int:
        pid = self._supervisor.pids()[name]
        assert pid
        return pid

    def kill(self, name: str) -> None:
        """Kills a process, if it runs."""
        pid = self._supervisor.pids()[name]
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGKILL)

    def ask(
        self, port: int, method: str = "GET", path: str = "/", body: Any = None, timeout_s: float = PATIENCE_S
    ) -> tuple[int, bytes]:
        """The answer, or (0, b"") when the connection is refused or reset."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (ConnectionError, http.client.BadStatusLine):
            return 0, b""
        finally:
            connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Supervisor() as supervisor:
        yield Site(supervisor, tmp_path)


def test_a_killed_instance_is_refused_and_then_served_again(site: Site) -> None:
    # As often as it is back before we have asked: each time it stays away longer.
    def is_refused() -> bool:
        site.kill("cart-0")
        return site.ask(site.port)[0] == 0

    eventually(is_refused, interval_s=0.005, timeout_s=PATIENCE_S, what="a refusal")
    eventually(
        lambda: site.ask(site.port) == (200, b"hello"),
        timeout_s=PATIENCE_S,
        what="the instance to be back",
    )


def test_a_paused_instance_hangs_its_callers_until_it_goes_on(site: Site) -> None:
    os.kill(site.pid("cart-0"), signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        site.ask(site.port, timeout_s=0.3)
    os.kill(site.pid("cart-0"), signal.SIGCONT)
    assert site.ask(site.port) == (200, b"hello")


def test_a_restarted_sidecar_has_no_faults(site: Site) -> None:
    assert site.ask(site.admin_port, "PUT", "/faults/f1", DELAY)[0] == 200
    before = site.pid("sidecar")
    os.kill(before, signal.SIGKILL)
    listed = (200, b'{"faults":[]}')
    eventually(
        lambda: site.ask(site.admin_port, path="/faults") == listed,
        timeout_s=PATIENCE_S,
        what="the next sidecar",
    )
    eventually(
        lambda: site.ask(site.port) == (200, b"hello"), timeout_s=PATIENCE_S, what="its port to answer"
    )
    assert site.pid("sidecar") != before


def test_a_sidecar_is_small(site: Site) -> None:
    for _ in range(200):
        assert site.ask(site.port)[0] == 200
    # 30 MB where it was measured; the bound leaves room for other builds of Python.
    assert psutil.Process(site.pid("sidecar")).memory_info().rss < 40_000_000
