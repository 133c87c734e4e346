"""Where users are: known by headers or by their address, handed on to servers, and counted as demand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import Backend
from balancer_server import PATIENCE_S, Balanced, balancing, memory_broker, nginx_folder
from places import BERLIN, IN_BERLIN, IN_TOKYO, NOWHERE, TOKYO, write_database

from microservo.adapters.geoip import GeoDatabase
from microservo.adapters.memory import MemoryBroker
from microservo.adapters.ports import free_ports
from microservo.domain.balancing.documents import ServerDocument, ServersDocument
from microservo.domain.geography import Coordinates
from microservo.errors import Unavailable
from microservo.log.reader import read_topic
from microservo.testing import eventually
from schemas.catalogue import REQUEST_LOCATIONS
from schemas.codec import decode_as
from schemas.records import RequestLocations

pytestmark = pytest.mark.integration

LISBON = {"balancer_latitude": 38.72, "balancer_longitude": -9.14}
HERE = Coordinates(38.72, -9.14)
PROXIES = "127.0.0.0/8"


@pytest.fixture
def folder() -> Iterator[Path]:
    with nginx_folder() as found:
        yield found


@pytest.fixture
def cart() -> Iterator[Backend]:
    with Backend() as found:
        yield found


def sent(balanced: Balanced, headers: dict[str, str] | None = None) -> tuple[str | None, str | None]:
    """The coordinates that a server is sent."""
    said = balanced.get("/cart/", headers).json()["headers"]
    return said.get("x-latitude"), said.get("x-longitude")


def add(balanced: Balanced, cart: Backend) -> None:
    balanced.api.add("cart", ServersDocument([ServerDocument(server=cart.address)]))


def counted(broker: MemoryBroker) -> Counter[tuple[str, Coordinates]]:
    """Requests on the log by service and place."""
    found: Counter[tuple[str, Coordinates]] = Counter()
    for message in read_topic(broker, REQUEST_LOCATIONS):
        record = decode_as(RequestLocations, message.value or b"")
        for latitude, longitude, count in zip(
            record.latitudes, record.longitudes, record.counts, strict=True
        ):
            found[record.service, Coordinates(latitude, longitude)] += count
    return found


def place(latitude: str, longitude: str) -> dict[str, str]:
    return {"X-Latitude": latitude, "X-Longitude": longitude}


def broken(database: GeoDatabase, address: str) -> Coordinates | None:
    raise OSError


def test_coordinates_in_headers_are_handed_on_and_counted_and_others_are_dropped(
    folder: Path, cart: Backend
) -> None:
    broker = memory_broker()
    with balancing(folder, broker=broker, **LISBON) as balanced:
        add(balanced, cart)
        assert sent(balanced, place("35.68", "139.69")) == ("35.68", "139.69")
        assert sent(balanced, place("0", "0")) == ("0", "0")
        for unknown in (
            {},
            place("-1", "-1"),
            place("91", "0"),
            place("1", "180.5"),
            place("nan", "1"),
            place("1e1", "1"),
            place("1 1", "1"),
            {"X-Latitude": "35.68"},
        ):
            assert sent(balanced, unknown) == (None, None), unknown
        balanced.get("/nobody/", place("1", "1"))
    assert counted(broker) == {
        ("cart", TOKYO): 1,
        ("cart", Coordinates(0, 0)): 1,
        ("cart", HERE): 8,
    }, "who is nowhere is taken to be where the balancer is"


def test_users_are_found_by_their_address_unless_they_say_where_they_are(
    folder: Path, cart: Backend, tmp_path: Path
) -> None:
    broker = memory_broker()
    database = write_database(tmp_path / "city.mmdb")
    with balancing(
        folder, broker=broker, balancer_geoip=database, balancer_trusted_proxies=PROXIES, **LISBON
    ) as balanced:
        add(balanced, cart)
        for _ in range(3):
            assert sent(balanced, {"X-Forwarded-For": IN_BERLIN}) == ("52.520000", "13.410000")
        assert sent(balanced, {"X-Forwarded-For": IN_TOKYO}) == ("35.680000", "139.690000")
        assert sent(balanced, {"X-Forwarded-For": IN_TOKYO, **place("1.5", "-2.5")}) == ("1.5", "-2.5")
        for unknown in (NOWHERE, "10.1.2.3", "2001:db8:1::1, no address"):
            assert sent(balanced, {"X-Forwarded-For": unknown}) == (None, None)
        posted = balanced.ask("POST", "/cart/", headers={"X-Forwarded-For": IN_BERLIN}, data=b"x" * 100_000)
        assert (posted.status_code, posted.json()["body"]) == (200, 100_000)
        balanced.api.add("front", ServersDocument([ServerDocument(server=f"127.0.0.1:{free_ports(1)[0]}")]))
        eventually(
            lambda: balanced.get("/front/", {"X-Forwarded-For": IN_TOKYO}).status_code == 503,
            timeout_s=PATIENCE_S,
            what="a service without servers",
        )
    found = counted(broker)
    assert found.pop(("front", TOKYO)) >= 1, "where they ask in vain they are wanted most"
    assert found == {
        ("cart", BERLIN): 4,
        ("cart", TOKYO): 1,
        ("cart", Coordinates(1.5, -2.5)): 1,
        ("cart", HERE): 3,
    }


def test_nobody_is_believed_on_whose_behalf_he_asks_who_is_no_trusted_proxy(
    folder: Path, cart: Backend, tmp_path: Path
) -> None:
    with balancing(folder, balancer_geoip=write_database(tmp_path / "city.mmdb")) as balanced:
        add(balanced, cart)
        assert sent(balanced, {"X-Forwarded-For": IN_BERLIN}) == (None, None)


def test_requests_go_on_where_addresses_can_not_be_looked_up(
    folder: Path, cart: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = write_database(tmp_path / "city.mmdb")
    with balancing(folder, balancer_geoip=database, balancer_trusted_proxies=PROXIES) as balanced:
        add(balanced, cart)
        with monkeypatch.context() as patch:
            patch.setattr(GeoDatabase, "place", broken)
            assert sent(balanced, {"X-Forwarded-For": IN_BERLIN}) == (None, None)
            assert sent(balanced, place("1.5", "2.5")) == ("1.5", "2.5")
        assert sent(balanced, {"X-Forwarded-For": IN_BERLIN}) == ("52.520000", "13.410000")
        with monkeypatch.context() as patch:
            patch.setattr(GeoDatabase, "place", broken)
            known = sent(balanced, {"X-Forwarded-For": IN_BERLIN})
        assert known == ("52.520000", "13.410000"), "it is remembered"


def test_a_database_without_coordinates_is_refused_at_the_start(folder: Path, tmp_path: Path) -> None:
    database = write_database(tmp_path / "country.mmdb", kind="GeoLite2-Country")
    with pytest.raises(Unavailable, match="has no coordinates"), balancing(folder, balancer_geoip=database):
        raise AssertionError


def test_every_request_is_counted_once_though_the_log_of_them_is_begun_anew(
    folder: Path, cart: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.balancer.locations.MOST_BYTES", 1_000)
    broker = memory_broker()
    asked = 0
    with balancing(folder, broker=broker) as balanced:
        add(balanced, cart)
        files: set[int] = set()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                files.update(path.stat().st_ino for path in balanced.folder.glob("places.log"))

        watching = threading.Thread(target=watch)
        watching.start()

        def is_begun_anew() -> bool:
            nonlocal asked
            for _ in range(10):
                assert balanced.get("/cart/", place("1.25", "2.25")).ok
                asked += 1
            return len(files) >= 2

        try:
            eventually(is_begun_anew, timeout_s=PATIENCE_S, what="another file")
            for _ in range(20):
                assert balanced.get("/cart/", place("1.25", "2.25")).ok
                asked += 1
        finally:
            done.set()
            watching.join()
    assert counted(broker) == {("cart", Coordinates(1.25, 2.25)): asked}
