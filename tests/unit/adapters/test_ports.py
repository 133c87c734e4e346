from __future__ import annotations

import contextlib
import socket

from microservo.adapters import ports
from microservo.adapters.ports import free_port_at_best, free_ports


def test_no_port_is_given_twice() -> None:
    given = [port for _ in range(20) for port in free_ports(5)]
    assert len(set(given)) == 100


def test_a_port_that_is_listened_on_is_passed_over() -> None:
    (port,) = free_ports(1)
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        ports._next = port
        assert port not in free_ports(3)


def test_the_ports_of_outgoing_connections_are_left_alone() -> None:
    ports._next = ports._LAST - 2
    assert all(port < 32_768 for port in free_ports(10))


def test_a_wanted_port_is_given_when_nothing_listens_there() -> None:
    (wanted,) = free_ports(1)
    assert free_port_at_best(wanted) == wanted
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", wanted))
        server.listen()
        assert free_port_at_best(wanted) not in {0, wanted}
    assert free_port_at_best(0) > 0
