"""A real Prometheus of the system's packages, with a real node exporter and one of the test's own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
from needed import missing
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from microservo.adapters.ports import free_ports
from microservo.testing import eventually

_NEEDED = ("prometheus", "prometheus-node-exporter")


def need(*programs: str, packages: str) -> None:
    """Skips the test where a program is missing, or fails it where nothing may be skipped."""
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        missing(f"no {', '.join(absent)} here; apt-get install {packages} adds this test")


class Exporter:
    """An exporter whose values the test sets; it can end, as a pod does."""

    def __init__(self, port: int) -> None:
        registry = CollectorRegistry()
        self.requests = Counter("shop_requests", "served", ["code"], registry=registry)
        self.queue = Gauge("shop_queue", "waiting", registry=registry)
        self._server, self._thread = start_http_server(port, "127.0.0.1", registry)

    def end(self) -> None:
        """Ends it; a second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@dataclass
class RealPrometheus:
    """The processes, and where they are."""

    folder: Path
    port: int
    node_port: int
    shop_port: int
    retention: str = "15d"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self.folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--storage.tsdb.retention.time={self.retention}",
                    "--web.enable-remote-write-receiver",
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self.is_ready, timeout_s=60, what="an answer of Prometheus")

    def kill(self) -> None:
        """Ends it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/-/ready", timeout=2).ok
        return False

    def query(self, expr: str, at_s: float) -> list[dict[str, object]]:
        """What an instant query gives."""
        answer = requests.post(
            f"{self.url}/api/v1/query", data={"query": expr, "time": f"{at_s:.3f}"}, timeout=30
        )
        answer.raise_for_status()
        found: list[dict[str, object]] = answer.json()["data"]["result"]
        return found


def _config(node_port: int, shop_port: int, remote_write: str) -> str:
    jobs = "".join(
        f"""
  - job_name: {name}
    static_configs:
      - targets: ["127.0.0.1:{port}"]"""
        for name, port in (("node", node_port), ("shop", shop_port))
    )
    write = f"\nremote_write:\n  - url: {remote_write}\n" if remote_write else ""
    return f"global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:{jobs}{write}\n"


@contextlib.contextmanager
def real_prometheus(folder: Path, remote_write: str = "", retention: str = "15d") -> Iterator[RealPrometheus]:
    """Runs both until the end of the context; skips the test where they are not installed."""
    need(*_NEEDED, packages=" ".join(_NEEDED))
    port, node_port, shop_port = free_ports(3)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(_config(node_port, shop_port, remote_write))
    node = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node_port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running = RealPrometheus(folder, port, node_port, shop_port, retention)
    try:
        running.start()
        yield running
    finally:
        for process in filter(None, (running.process, node)):
            process.kill()
            process.wait(30)
