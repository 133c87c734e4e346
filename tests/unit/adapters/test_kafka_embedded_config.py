from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from microservo.adapters.kafka.embedded import EmbeddedBroker
from microservo.adapters.kafka.embedded.config import jvm_options, server_properties
from microservo.adapters.ports import free_ports
from microservo.errors import InvalidInput, Unavailable


def parsed(text: str) -> dict[str, str]:
    """As Java's Properties does: Latin-1, `\\uXXXX` and `\\\\`."""
    text.encode("latin-1")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    assert len({name for name, _, _ in pairs}) == len(pairs)
    return {name: unescaped(value) for name, _, value in pairs}


def unescaped(value: str) -> str:
    units = re.sub(r"\\u([0-9a-f]{4})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], value.lstrip())
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def test_the_broker_listens_on_loopback_only() -> None:
    properties = parsed(server_properties(port=1, controller_port=2, log_dir="log"))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1"


def test_the_broker_keeps_everything() -> None:
    properties = parsed(server_properties(port=1, controller_port=2, log_dir="log"))
    assert properties["log.dirs"] == "log"
    assert properties["log.retention.ms"] == "-1"
    assert properties["log.retention.bytes"] == "-1"


@pytest.mark.parametrize("value", ["/home/josé/k", "a b, c#d=e:f!", " leading", r"C:\new\table", "日本 🐘"])
def test_any_text_reaches_java_as_it_was_given(value: str) -> None:
    text = server_properties(port=1, controller_port=2, log_dir="log", extra={"ssl.keystore.location": value})
    assert parsed(text)["ssl.keystore.location"] == value


def test_a_cache_that_java_can_not_load_from_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    cache_dir = tmp_path / "with:colon"
    broker = EmbeddedBroker(tmp_path / "kafka", port=1, controller_port=2, cache_dir=cache_dir)
    with pytest.raises(InvalidInput, match="set MICROSERVO_CACHE to a folder without ':'"):
        broker.prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_named_in_utf_8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    broker = EmbeddedBroker(folder, port=1, controller_port=2, cache_dir=tmp_path / "cache")
    with pytest.raises(InvalidInput, match="set MICROSERVO_HOME to one"):
        broker.prepare()
    assert list(tmp_path.iterdir()) == []


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
