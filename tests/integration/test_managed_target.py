"""A manager over real processes of this machine: an app is launched in order, moved, and brought back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import TIMEOUT_S, Machine, machine_of
from managers import ASIA, EUROPE

from microservo.adapters.kafka import KafkaBroker
from microservo.errors import InvalidInput
from microservo.platforms.local.remote_driver import LAUNCHER_URL, RemoteDriver, from_environment
from microservo.platforms.local.token import VARIABLE
from microservo.testing import eventually

pytestmark = pytest.mark.integration

TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
type = "frontend"
launch_order = 2
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back]
launch_order = 1
[services.back.endpoints.Work]
cpu_ms = 1.0
calls = [{ service = "store", endpoint = "Read", timeout_ms = 60000 }]
[services.store]
type = "database"
[services.store.endpoints.Read]
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""


@pytest.fixture
def machine(kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Machine]:
    with machine_of(kafka_broker, topic_prefix, tmp_path, TOPOLOGY) as found:
        yield found


def test_an_app_is_launched_moved_and_brought_back_and_outlives_its_manager(machine: Machine) -> None:
    world, manager = machine.world, machine.world.client.manager
    first = world.manager()
    manager.create("settings/manager", migration_delay_us=1_000_000)
    world.add_hosts("berlin", "tokyo")
    manager.seed(str(machine.topology))
    manager.launch_app("pair", near=EUROPE, finish_s=TIMEOUT_S)
    eventually(lambda: list(world.states().values()) == ["running"] * 3, timeout_s=TIMEOUT_S)
    assert set(world.running().values()) == {"berlin"}
    assert {name.rpartition("-")[0] for name in world.running()} == {"front", "back", "store"}
    assert machine.is_served()

    (back,) = [name for name in world.running() if name.startswith("back")]
    # The database that it needs beside it comes along, and the one that nobody needs any more goes.
    launched = manager.migrate(back, near=ASIA, finish_s=TIMEOUT_S).containers
    (moved,) = [name for name in launched if name.startswith("back")]
    eventually(lambda: back not in world.running(), timeout_s=TIMEOUT_S, what="the old one is stopped")
    eventually(
        lambda: sorted(world.running().values()) == ["berlin", "tokyo", "tokyo"],
        timeout_s=TIMEOUT_S,
        what="its database is beside it alone",
    )
    assert world.running()[moved] == "tokyo"
    assert machine.is_served()

    os.kill(machine.pid(moved), signal.SIGKILL)
    eventually(
        lambda: moved not in world.running() and len(machine.addresses("back")) == 1,
        timeout_s=TIMEOUT_S,
        what="another one serves",
    )
    assert machine.is_served()

    first.kill()
    before = world.running()
    second = world.manager()
    eventually(lambda: list(world.states().values()) == ["running"] * 3, timeout_s=TIMEOUT_S)
    assert world.running() == before
    assert machine.is_served()

    (back,) = [name for name in world.running() if name.startswith("back")]
    manager.migrate(back, near=EUROPE)
    second.kill()
    world.manager()
    eventually(
        lambda: back not in world.running() and list(world.running().values()) == ["berlin"] * 3,
        timeout_s=TIMEOUT_S,
        what="the next life ends the migration that it found half done",
    )
    assert machine.is_served()


def test_which_launcher_a_manager_asks_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER_URL, raising=False)
    with pytest.raises(InvalidInput, match=f"{LAUNCHER_URL} is not set"):
        from_environment("tag")
    monkeypatch.setenv(LAUNCHER_URL, "http://127.0.0.1:1")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match=f"{VARIABLE} is not set"):
        from_environment("tag")
    monkeypatch.setenv(VARIABLE, "secret")
    assert isinstance(from_environment("tag"), RemoteDriver)
