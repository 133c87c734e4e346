"""A load balancer with a real nginx, as a thread on a broker in memory."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from needed import missing

from microservo.adapters.balancer_api import BalancerApi
from microservo.adapters.memory import MemoryBroker
from microservo.adapters.nginx import find_nginx
from microservo.adapters.ports import free_ports
from microservo.errors import Retryable, Unavailable
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from services.balancer.service import run
from services.balancer.settings import BalancerSettings

PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Balanced:
    """A balancer that runs.

    Attributes:
        api: of it.
        url: where users come to.
        api_url: where its API is.
        folder: of its nginx.
        broker: what it writes to.
    """

    api: BalancerApi
    url: str
    api_url: str
    folder: Path
    broker: MemoryBroker

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """What a user is answered."""
        return self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self.url + path, timeout=PATIENCE_S, allow_redirects=False, **given
            )


def need_nginx() -> None:
    """Skips the test where there is no nginx, or fails it where nothing may be skipped."""
    try:
        find_nginx()
    except Unavailable as error:
        missing(str(error))


@contextmanager
def nginx_folder() -> Iterator[Path]:
    """A folder that nginx' workers can enter, as pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="microservo-balancer-"))
    folder.chmod(0o755)
    try:
        yield folder / "balancer"
    finally:
        shutil.rmtree(folder)


def memory_broker() -> MemoryBroker:
    """A broker in memory with all topics."""
    found = MemoryBroker()
    found.admin().ensure_topics(topic_specs(partitions=2))
    return found


@contextmanager
def balancing(folder: Path, *, broker: MemoryBroker | None = None, **given: Any) -> Iterator[Balanced]:
    """A balancer that ends in order with the block."""
    need_nginx()
    port, api_port = free_ports(2)
    settings = BalancerSettings(
        balancer_port=port, balancer_api_port=api_port, balancer_folder=folder, **given
    )
    writing = broker or memory_broker()
    shutdown = Shutdown(signals=())
    failures: list[Exception] = []

    def work() -> None:
        try:
            run(settings, shutdown, broker=writing)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    api_url = f"http://127.0.0.1:{api_port}"
    token = settings.control_token.get_secret_value()
    api = BalancerApi(api_url, token, timeout_s=PATIENCE_S)
    try:
        eventually(lambda: bool(failures) or answers(api), timeout_s=PATIENCE_S, what="the balancer")
        if failures:
            raise failures[0]
        yield Balanced(
            api=api, url=f"http://127.0.0.1:{port}", api_url=api_url, folder=folder, broker=writing
        )
    finally:
        api.close()
        shutdown.request()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert not failures, failures


def answers(api: BalancerApi) -> bool:
    try:
        return api.health().status == "ok"
    except Retryable:
        return False


def nginx_processes(folder: Path) -> list[psutil.Process]:
    """The nginx that works in a folder, with its workers."""
    masters = [
        each
        for each in psutil.process_iter()
        if f"{folder}/" in " ".join(cmdline := title(each)) and cmdline[:1] == ["nginx:"]
    ]
    return [*masters, *(child for master in masters for child in master.children())]


def nginx_workers(folder: Path) -> list[psutil.Process]:
    """Its workers, those that are ending too."""
    return [each for each in nginx_processes(folder) if "worker" in title(each)]


def title(process: psutil.Process) -> list[str]:
    """The words that a process calls itself by."""
    try:
        return " ".join(process.cmdline()).split()
    except psutil.Error:
        return []
