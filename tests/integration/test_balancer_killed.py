"""A load balancer as a process on a real broker: what becomes of it, of its nginx and of what it counted."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from backends import Backend
from balancer_server import need_nginx, nginx_folder, nginx_processes

from microservo import BalancerClient
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.domain.geography import Coordinates
from microservo.errors import Retryable
from microservo.log.reader import read_topic
from microservo.log.topics import topic_specs
from microservo.retry import retry
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from schemas.catalogue import REQUEST_LOCATIONS
from schemas.codec import decode_as
from schemas.records import RequestLocations

pytestmark = pytest.mark.integration

TOKEN = "open-sesame"
PATIENCE_S = 60
TOKYO = Coordinates(35.68, 139.69)
IN_TOKYO = {"X-Latitude": "35.68", "X-Longitude": "139.69"}


class Process:
    """A balancer that may be killed and started again, on the same ports and in the same folder."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._name = f"balancer-{uuid4().hex[:8]}"
        self._ports = free_ports(3)
        self._environment = environment
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.client = BalancerClient(f"http://127.0.0.1:{self._ports[1]}", token=TOKEN, timeout_s=PATIENCE_S)
        self.process = self._start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def start_again(self) -> None:
        self.process = self._start()

    def asks(self, path: str) -> int:
        """The status of a user's request; 0 where nobody answers."""
        with requests.Session() as session:
            session.trust_env = False
            try:
                return session.get(self.url + path, headers=IN_TOKYO, timeout=PATIENCE_S).status_code
            except requests.ConnectionError:
                return 0

    def _start(self) -> subprocess.Popen[bytes]:
        port, api_port, health_port = self._ports
        environment = {
            **os.environ,
            **self._environment,
            "MICROSERVO_HEALTH_PORT": str(health_port),
            "MICROSERVO_BALANCER_NAME": self._name,
            "MICROSERVO_BALANCER_PORT": str(port),
            "MICROSERVO_BALANCER_API_PORT": str(api_port),
            "MICROSERVO_BALANCER_FOLDER": str(self.folder),
            "MICROSERVO_CONTROL_TOKEN": TOKEN,
        }
        with (self.folder.parent / "balancer.log").open("ab") as log:
            process = subprocess.Popen(python_argv("services.balancer"), env=environment, stderr=log)
        eventually(
            lambda: is_healthy(f"http://127.0.0.1:{health_port}"), timeout_s=PATIENCE_S, what="the balancer"
        )
        return process


Start = Callable[[dict[str, str]], Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a balancer; ends it in order at the end."""
    need_nginx()
    with nginx_folder() as folder:
        running: list[Process] = []

        def begin(environment: dict[str, str]) -> Process:
            running.append(Process(folder, environment))
            return running[-1]

        yield begin
        for each in running:
            each.client.close()
            each.process.terminate()
            code = each.process.wait(PATIENCE_S)
            log = (folder.parent / "balancer.log").read_text()
            assert code == 0, log
            assert "Traceback" not in log, log
        assert nginx_processes(folder) == []


NOBODY = {"MICROSERVO_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def test_nginx_ends_with_a_balancer_that_is_killed_and_the_next_one_serves_the_same(start: Start) -> None:
    with Backend() as cart:
        balancer = start(NOBODY)
        balancer.client.add("cart", cart.address)
        assert balancer.asks("/cart/") == 200
        balancer.kill()
        eventually(lambda: nginx_processes(balancer.folder) == [], timeout_s=PATIENCE_S, what="its end")
        assert balancer.asks("/cart/") == 0
        balancer.start_again()
        assert balancer.asks("/cart/") == 200


def test_an_nginx_that_is_killed_is_back_and_changes_made_meanwhile_are_served(start: Start) -> None:
    with Backend() as cart, Backend() as front:
        balancer = start(NOBODY)
        balancer.client.add("cart", cart.address)
        (master,) = [
            each for each in nginx_processes(balancer.folder) if "master" in " ".join(each.cmdline())
        ]
        master.send_signal(signal.SIGKILL)

        def is_added() -> bool:
            try:
                return bool(balancer.client.add("front", front.address))
            except Retryable:
                return False

        eventually(is_added, timeout_s=PATIENCE_S, what="the change")
        assert (balancer.asks("/cart/"), balancer.asks("/front/")) == (200, 200)


def test_demand_lies_on_the_log_and_users_need_no_broker(
    start: Start, kafka_settings: KafkaSettings, topic_prefix: str
) -> None:
    broker = KafkaBroker(kafka_settings)
    retry(lambda: broker.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=2)), timeout_s=60)
    with Backend() as cart:
        balancer = start(
            {
                "MICROSERVO_BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
                "MICROSERVO_TOPIC_PREFIX": topic_prefix,
            }
        )
        balancer.client.add("cart", cart.address)
        for _ in range(30):
            assert balancer.asks("/cart/") == 200

        def counted() -> int:
            records = [
                decode_as(RequestLocations, message.value or b"")
                for message in read_topic(broker, topic_prefix + REQUEST_LOCATIONS)
            ]
            assert {(each.service, each.latitudes, each.longitudes) for each in records} <= {
                ("cart", (TOKYO.latitude,), (TOKYO.longitude,))
            }
            return sum(sum(each.counts) for each in records)

        eventually(lambda: counted() == 30, timeout_s=PATIENCE_S, what="the demand")
