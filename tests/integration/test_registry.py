"""Registries of two regions as processes on a real broker: they agree by way of its log and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from microservo import RegistryClient
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.kafka.embedded.process import BrokerProcess
from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.adapters.registry_api import RegistryApi
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import LocationDocument, LocationsDocument, RegistrationDocument
from microservo.log.reader import read_state, read_topic
from microservo.log.topics import topic_specs
from microservo.retry import retry
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from schemas.catalogue import REGISTRATIONS, REQUEST_LOCATIONS
from schemas.codec import decode_as
from schemas.records import Registration, RequestLocations

pytestmark = pytest.mark.integration

TOKEN = "open-sesame"
BERLIN, TOKYO = Coordinates(52.52, 13.41), Coordinates(35.68, 139.69)
PLACES = {"europe": BERLIN, "asia": TOKYO}
PATIENCE_S = 60
GONE_S = 5.0
"""How long it may take until an instance that was killed is given out nowhere."""


@pytest.fixture(scope="module")
def broker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that the tests of this file may stop."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture
def broker(broker_process: BrokerProcess, topic_prefix: str) -> KafkaBroker:
    found = KafkaBroker(KafkaSettings(bootstrap_servers=broker_process.bootstrap_servers))
    retry(lambda: found.admin().ensure_topics(topic_specs(prefix=topic_prefix, partitions=2)), timeout_s=60)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A registry process."""

    name: str
    url: str
    health_url: str
    process: subprocess.Popen[bytes]

    @property
    def api(self) -> RegistryApi:
        return RegistryApi(self.url, TOKEN, timeout_s=10)

    def client(self, *, cache_s: float = 10, heartbeat_s: float = 2) -> RegistryClient:
        return RegistryClient(
            self.url,
            token=TOKEN,
            place=PLACES[self.name],
            cache_s=cache_s,
            heartbeat_s=heartbeat_s,
            timeout_s=10,
        )

    def knows(self, service: str) -> list[str]:
        return sorted(each.instance_id for each in self.api.endpoints(service, None))


Start = Callable[[str], Region]


@pytest.fixture
def start(
    broker: KafkaBroker, broker_process: BrokerProcess, topic_prefix: str, tmp_path: Path
) -> Iterator[Start]:
    """Starts the registry of a region and waits until it answers; ends all at the end, in order."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str) -> Region:
        port, health_port = free_ports(2)
        place = PLACES[name]
        environment = {
            **os.environ,
            "MICROSERVO_BOOTSTRAP_SERVERS": broker_process.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": topic_prefix,
            "MICROSERVO_HEALTH_PORT": str(health_port),
            "MICROSERVO_REGISTRY_NAME": name,
            "MICROSERVO_REGISTRY_PORT": str(port),
            "MICROSERVO_REGISTRY_LATITUDE": str(place.latitude),
            "MICROSERVO_REGISTRY_LONGITUDE": str(place.longitude),
            "MICROSERVO_CONTROL_TOKEN": TOKEN,
        }
        with (tmp_path / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(python_argv("services.registry"), env=environment, stderr=log)
        running.append(process)
        health_url = f"http://127.0.0.1:{health_port}"
        eventually(lambda: is_healthy(health_url), timeout_s=PATIENCE_S, what=f"the registry of {name}")
        return Region(name=name, url=f"http://127.0.0.1:{port}", health_url=health_url, process=process)

    yield begin
    for process in running:
        process.terminate()
    codes = {process.wait(PATIENCE_S) for process in running}
    assert codes <= {0, -9}, "".join(path.read_text() for path in tmp_path.glob("*.log"))


@contextmanager
def living_instance(region: Region) -> Iterator[subprocess.Popen[bytes]]:
    """A process that registers itself as an instance of cart, and heartbeats until it is killed."""
    code = (
        "import sys, time; from microservo import RegistryClient\n"
        "with RegistryClient(sys.argv[1], token=sys.argv[2]) as client:\n"
        "    with client.register('cart', 'http://127.0.0.1:9000', instance='cart-1'):\n"
        "        time.sleep(600)\n"
    )
    argv = [sys.executable, "-P", "-c", code, region.url, TOKEN]
    with subprocess.Popen(argv) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_is_registered_in_one_region_is_found_in_the_other_and_gone_there_when_it_is_killed(
    start: Start, broker: KafkaBroker, topic_prefix: str
) -> None:
    europe, asia = start("europe"), start("asia")
    with living_instance(europe) as process:
        eventually(lambda: asia.knows("cart") == ["cart-1"], timeout_s=PATIENCE_S, what="the instance")
        with asia.client() as client:
            found = client.endpoint("cart")
        assert found is not None
        assert (found.endpoint, found.region, found.registry) == ("http://127.0.0.1:9000", "Europe", "europe")
        assert 8_000 < (found.distance_km or 0) < 10_000
        process.kill()
        killed_at_s = time.monotonic()
        for region in (europe, asia):
            eventually(lambda: not region.knows("cart"), timeout_s=PATIENCE_S, what="the end")  # noqa: B023
        took_s = time.monotonic() - killed_at_s
    # Silence of 4 s, the way over the log, and what a busy machine adds to two questions.
    assert took_s < GONE_S, f"the instance was gone after {took_s:.1f} s"
    state = read_state(broker, topic_prefix + REGISTRATIONS, Registration)
    assert state.keys() == {"registry/europe", "registry/asia"}, "peers find each other by the topic alone"


def test_a_watched_process_is_gone_at_once_and_its_place_is_taken_by_the_next_closest(start: Start) -> None:
    europe, asia = start("europe"), start("asia")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        for region, place in ((europe, BERLIN), (asia, TOKYO)):
            region.api.register(
                RegistrationDocument(
                    service="cart",
                    instance=region.name,
                    endpoint="127.0.0.1:9000",
                    latitude=place.latitude,
                    longitude=place.longitude,
                    pid=process.pid if region is europe else os.getpid(),
                )
            )
        for region in (europe, asia):
            eventually(lambda: region.knows("cart") == ["asia", "europe"], timeout_s=PATIENCE_S)  # noqa: B023
        with europe.client(cache_s=0) as client:
            assert client.endpoint("cart").instance_id == "europe"  # type: ignore[union-attr]
            process.kill()
            killed_at_s = time.monotonic()
            eventually(
                lambda: client.endpoint("cart").instance_id == "asia",  # type: ignore[union-attr]
                timeout_s=PATIENCE_S,
                what="the next closest",
            )
            assert time.monotonic() - killed_at_s < GONE_S
    eventually(lambda: asia.knows("cart") == ["asia"], timeout_s=PATIENCE_S, what="the end everywhere")


def test_ten_thousand_locations_in_one_batch_and_each_question_are_on_the_topic(
    start: Start, broker: KafkaBroker, topic_prefix: str
) -> None:
    europe = start("europe")
    rows = [
        LocationDocument(service=f"s{row % 10}", latitude=row % 83, longitude=row % 179, count=2)
        for row in range(10_000)
    ]
    assert europe.api.report(LocationsDocument(rows)) == 20_000
    with europe.client(cache_s=0) as client:
        for _ in range(5):
            assert client.endpoint("cart", place=TOKYO) is None
    expected = Counter[tuple[str, float, float]]()
    for row in rows:
        expected[row.service, float(row.latitude or 0), float(row.longitude or 0)] += 2
    expected["cart", TOKYO.latitude, TOKYO.longitude] = 5

    def counted() -> Counter[tuple[str, float, float]]:
        found = Counter[tuple[str, float, float]]()
        for message in read_topic(broker, topic_prefix + REQUEST_LOCATIONS):
            record = decode_as(RequestLocations, message.value or b"")
            assert message.key == record.service.encode()
            for latitude, longitude, count in zip(
                record.latitudes, record.longitudes, record.counts, strict=True
            ):
                found[record.service, latitude, longitude] += count
        return found

    eventually(lambda: counted() == expected, timeout_s=PATIENCE_S, what="every request")
    messages = list(read_topic(broker, topic_prefix + REQUEST_LOCATIONS))
    assert len(messages) < 40, "one message for all places of a service in a second"


def test_a_registry_that_was_killed_knows_its_instances_again(start: Start) -> None:
    europe = start("europe")
    europe.api.register(
        RegistrationDocument(service="cart", instance="watched", endpoint="127.0.0.1:1", pid=os.getpid())
    )
    europe.api.register(RegistrationDocument(service="cart", instance="silent", endpoint="127.0.0.1:2"))
    asia = start("asia")
    eventually(lambda: asia.knows("cart") == ["silent", "watched"], timeout_s=PATIENCE_S, what="both")
    europe.process.kill()
    again = start("europe")
    assert "watched" in again.knows("cart")
    for region in (again, asia):
        eventually(lambda: region.knows("cart") == ["watched"], timeout_s=PATIENCE_S, what="one")  # noqa: B023


def test_while_the_broker_is_away_a_registry_answers_and_makes_up_for_it_afterwards(
    start: Start, broker_process: BrokerProcess
) -> None:
    europe, asia = start("europe"), start("asia")
    with asia.client(heartbeat_s=1) as client, client.register("cart", "127.0.0.1:1", instance="before"):
        eventually(lambda: europe.knows("cart") == ["before"], timeout_s=PATIENCE_S, what="the instance")
        broker_process.kill()
        away_since_s = time.monotonic()
        with client.register("cart", "127.0.0.1:2", instance="meanwhile"):
            # Longer than a producer waits, so that it has to be replaced.
            while (away_s := time.monotonic() - away_since_s) < 12:
                assert europe.knows("cart") == ["before"]
                assert asia.knows("cart") == ["before", "meanwhile"]
                assert is_healthy(europe.health_url, timeout_s=10)
                time.sleep(0.5)
            with europe.client() as asking:
                found = asking.endpoint("cart")
                assert found is not None
                assert found.state == "up", "nobody is silent while nobody can be heard"
            assert europe.api.age_s() > away_s - 5
            broker_process.start()
            eventually(
                lambda: europe.knows("cart") == ["before", "meanwhile"],
                timeout_s=PATIENCE_S,
                what="what was registered meanwhile",
            )
            eventually(lambda: europe.api.age_s() < 5, timeout_s=PATIENCE_S, what="fresh knowledge")
