from __future__ import annotations

from pathlib import Path

import pytest

from microservo.adapters.kafka.embedded import EmbeddedBroker
from microservo.adapters.kafka.embedded.config import jvm_options, server_properties
from microservo.adapters.ports import free_ports
from microservo.errors import Unavailable


def parsed(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: value for name, _, value in pairs}


def test_the_broker_listens_on_loopback_only() -> None:
    properties = parsed(server_properties(port=1, controller_port=2, log_dir=Path("/data/log")))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1"


def test_the_broker_keeps_everything() -> None:
    properties = parsed(server_properties(port=1, controller_port=2, log_dir=Path("/data/log")))
    assert properties["log.dirs"] == "/data/log"
    assert properties["log.retention.ms"] == "-1"
    assert properties["log.retention.bytes"] == "-1"


def test_the_heap_is_limited() -> None:
    assert "-Xmx99m" in jvm_options(heap_mb=99, data_dir=Path("/data"))


def test_an_unprepared_broker_has_no_command(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, port=1, controller_port=2, cache_dir=tmp_path)
    with pytest.raises(Unavailable, match="call prepare first"):
        broker.argv()
    with pytest.raises(Unavailable, match="call prepare first"):
        broker.cluster_id()


def test_free_ports_are_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(1024 <= port < 65536 for port in ports)
