from __future__ import annotations

import pytest
from pydantic import ValidationError

from microservo.domain.balancing.documents import MOST_SERVERS, ServerDocument, ServersDocument

INJECTIONS = (
    "10.0.0.7:80; } server { listen 1",
    "10.0.0.7:80\n",
    "10.0.0.7:80 backup",
    "unix:/var/run/docker.sock",
    "10.0.0.7:80;",
    "$host:80",
    "[::1%lo]:80",
    "[::1]:80}",
    "10.0.0.7:80#",
    "١٠.0.0.7:80",  # noqa: RUF001 - digits of another script
)


@pytest.mark.parametrize("server", INJECTIONS)
def test_what_is_more_than_an_address_and_a_port_is_refused(server: str) -> None:
    with pytest.raises(ValidationError):
        ServerDocument(server=server)


@pytest.mark.parametrize(
    "server",
    [
        "cart:80",
        "localhost:80",
        "10.0.0.7",
        "10.0.0.7:0",
        "10.0.0.7:65536",
        "10.0.0.7:080",
        "010.0.0.7:80",
        "10.0.0:80",
        "256.0.0.1:80",
        "0.0.0.0:80",
        "[::]:80",
        "224.0.0.1:80",
        "::1:80",
        "[10.0.0.7]:80",
        "",
    ],
)
def test_what_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ValidationError):
        ServerDocument(server=server)


def test_an_address_has_one_way_of_being_written() -> None:
    assert ServerDocument(server="[2001:DB8:0:0::1]:80").server == "[2001:db8::1]:80"
    assert ServerDocument(server="127.0.0.1:65535").server == "127.0.0.1:65535"


@pytest.mark.parametrize("path", ["health", "/health\r\nX: y", "/a b", "/?x", "/" + "x" * 201, "/ä"])
def test_what_is_no_plain_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        ServerDocument(server="127.0.0.1:80", health_path=path)


def test_half_a_place_is_refused() -> None:
    with pytest.raises(ValidationError, match="latitude and longitude, or neither"):
        ServerDocument(server="127.0.0.1:80", latitude=1)


def test_a_list_holds_one_server_at_least_and_no_more_than_a_balancer() -> None:
    for count in (0, MOST_SERVERS + 1):
        with pytest.raises(ValidationError):
            ServersDocument([ServerDocument(server=f"127.0.0.1:{port}") for port in range(1, count + 1)])
