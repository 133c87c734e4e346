from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from places import BERLIN, IN_BERLIN, IN_TOKYO, IN_TOKYO_BY_IPV6, NOWHERE, TOKYO, write_database

from microservo.adapters.geoip import GeoDatabase
from microservo.errors import InvalidInput, Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_database(tmp_path / "city.mmdb")


@pytest.fixture
def database(path: Path) -> Iterator[GeoDatabase]:
    with closing(GeoDatabase(path)) as found:
        yield found


def test_addresses_of_both_kinds_are_found(database: GeoDatabase) -> None:
    assert database.place(IN_BERLIN) == BERLIN
    assert database.place(IN_TOKYO) == TOKYO
    assert database.place(IN_TOKYO_BY_IPV6) == TOKYO


def test_what_is_not_in_it_or_has_no_coordinates_is_not_known(database: GeoDatabase) -> None:
    for address in (NOWHERE, "10.0.0.1", "127.0.0.1", "::1"):
        assert database.place(address) is None


def test_a_database_of_one_kind_knows_nothing_of_the_other(tmp_path: Path) -> None:
    with closing(GeoDatabase(write_database(tmp_path / "four.mmdb", ip_version=4))) as database:
        assert database.place(IN_BERLIN) == BERLIN
        assert database.place(IN_TOKYO_BY_IPV6) is None


@pytest.mark.parametrize("text", ["", "cart", "192.0.2.7/24", "192.0.2.7 "])
def test_what_is_no_address_is_refused(database: GeoDatabase, text: str) -> None:
    with pytest.raises(InvalidInput, match="is no IP address"):
        database.place(text)


def test_a_file_that_is_replaced_is_read_again(database: GeoDatabase, path: Path) -> None:
    write_database(path, {"192.0.2.0/24": TOKYO})
    assert database.place(IN_BERLIN) == TOKYO


def test_one_that_can_not_be_read_leaves_the_former_in_use_and_is_said_once(
    database: GeoDatabase, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"no database")
    with caplog.at_level(logging.WARNING):
        assert [database.place(IN_BERLIN) for _ in range(3)] == [BERLIN] * 3
    assert len(caplog.records) == 1
    path.unlink()
    assert database.place(IN_BERLIN) == BERLIN
    write_database(path, {"192.0.2.0/24": TOKYO})
    assert database.place(IN_BERLIN) == TOKYO


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "city.mmdb"
    with pytest.raises(Unavailable, match=r"can't be read as a database of places .* GeoLite2-City"):
        GeoDatabase(path)
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"can't be read as a database of places"):
        GeoDatabase(path)


def test_a_kind_without_coordinates_is_refused(tmp_path: Path) -> None:
    path = write_database(tmp_path / "country.mmdb", kind="GeoLite2-Country")
    with pytest.raises(Unavailable, match="'GeoLite2-Country', which has no coordinates"):
        GeoDatabase(path)
