from __future__ import annotations

import re

import pytest
from balancer_server import need_nginx, nginx_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microservo.adapters.nginx import find_nginx
from microservo.domain.balancing.configuration import Entry, Upstream, configuration
from microservo.domain.balancing.documents import ServerDocument
from microservo.domain.registry.documents import NAME
from services.balancer.nginx_process import prepared_folder, worker_user

ENTRY = Entry(listen="127.0.0.1:8080", workers=2, connections=512)
UP = Upstream(address="10.0.0.7:8080", is_up=True)
DOWN = Upstream(address="[::1]:8080", is_up=False)


def test_a_service_has_a_group_with_least_connections_in_shared_memory() -> None:
    text = configuration(ENTRY, {"cart": [UP, DOWN]}, 7)
    group = re.search(r"upstream service-0 \{(.*?)\n  \}", text, re.DOTALL)
    assert group is not None
    assert "least_conn;" in group[1]
    assert "zone service-0 64k;" in group[1]
    assert "server 10.0.0.7:8080 max_fails=2 fail_timeout=2s;" in group[1]
    assert "server [::1]:8080 max_fails=2 fail_timeout=2s down;" in group[1]
    assert 'return 200 "7"' in text


def test_the_same_servers_give_the_same_text_in_whatever_order_services_came() -> None:
    one = configuration(ENTRY, {"cart": [UP], "front": [DOWN]}, 1)
    assert one == configuration(ENTRY, {"front": [DOWN], "cart": [UP]}, 1)


def test_nobody_asks_where_an_address_is_without_a_database() -> None:
    assert "auth_request" not in configuration(ENTRY, {"cart": [UP]}, 1)


NAMES = ("cart", "Cart", "a.b-c_d", "default", "if", "1", "server", "x" * 200, "0-0", "a.", "on")


@pytest.mark.parametrize("place_port", [None, 9])
def test_nginx_takes_every_name_that_a_service_may_have(place_port: int | None) -> None:
    need_nginx()
    entry = Entry(
        listen="127.0.0.1:1",
        workers=1,
        connections=64,
        user=worker_user(),
        place_port=place_port,
        trusted_proxies=("10.0.0.0/8", "::1/128"),
    )
    with nginx_folder() as folder:
        prepared_folder(folder)
        for servers in ([UP, DOWN], [DOWN]):
            text = configuration(entry, dict.fromkeys(NAMES, servers), 1)
            (folder / "nginx.conf").write_text(text)
            find_nginx().check(folder, "nginx.conf")


@given(name=st.from_regex(re.compile(NAME, re.ASCII), fullmatch=True))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_name_or_address_ends_a_directive_or_opens_a_block(name: str) -> None:
    assert set(name) & set(";{}'\"\\$# \n\t") == set()
    address = ServerDocument(server="10.0.0.7:8080").server
    text = configuration(ENTRY, {name: [Upstream(address=address, is_up=True)]}, 1)
    usual = configuration(ENTRY, {"cart": [Upstream(address=address, is_up=True)]}, 1)
    for mark in ";{}'\"\n":
        assert text.count(mark) == usual.count(mark)
