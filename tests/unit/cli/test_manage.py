"""The manager on the command line: it decides as a real one does, over a world in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from simulated_manager import SimulatedManager, managed

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.manager_commands import GiveCommand
from microservo.application.table import execute
from microservo.domain.manager.entities import Entity, Host, Node, RegionCentre, Service
from microservo.errors import Unavailable
from microservo.testing import MemoryBroker

Run = Callable[..., Result]
GIB = float(1 << 30)
BERLIN, TOKYO = ("52.5,13.4", "35.7,139.7")


def fleet() -> list[Entity]:
    found: list[Entity] = [
        Service(name="front", type="frontend", memory_bytes=GIB, cores=0.1, maximum_replicas=3),
        RegionCentre(name="Europe", latitude=50.0, longitude=10.0),
        RegionCentre(name="Asia", latitude=35.0, longitude=135.0),
    ]
    for name, (latitude, longitude) in {"berlin": (52.5, 13.4), "tokyo": (35.7, 139.7)}.items():
        found += [
            Host(
                name=name,
                place="edge",
                latitude=latitude,
                longitude=longitude,
                state="running",
                memory_bytes=8 * GIB,
                cores=4.0,
                disk_bytes=100 * GIB,
            ),
            Node(host=name),
        ]
    return found


@pytest.fixture
def manager(broker: MemoryBroker) -> Iterator[SimulatedManager]:
    with managed(broker, fleet()) as found:
        yield found


def documents(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def containers(run: Run) -> list[dict[str, Any]]:
    return documents(run("manage", "list", "container", "--json"))


def test_a_service_is_launched_near_a_place_moved_to_another_and_stopped(
    run: Run, manager: SimulatedManager
) -> None:
    launched = run("manage", "launch", "front", "--at", BERLIN, "--wait")
    assert launched.exit_code == 0, launched.output
    (first,) = containers(run)
    assert (first["values"]["host"], first["values"]["state"]) == ("berlin", "running")
    outcome = run("manage", "migrate", first["name"], "--at", TOKYO, "--wait", "--json")
    moved = documents(outcome)[0]["events"]
    assert [(each["action"], each["state"]) for each in moved] == [("migrate", "decided"), ("launch", "done")]
    assert (moved[0]["from_host"], moved[0]["to_host"]) == ("berlin", "tokyo")
    name = moved[0]["container"]
    assert run("manage", "stop", name, "--wait").exit_code == 0
    assert name not in {each["name"] for each in containers(run)}


def test_what_can_not_be_is_refused_with_the_reason_and_nothing_is_done(
    run: Run, manager: SimulatedManager
) -> None:
    too_many = run("manage", "launch", "front", "--at", BERLIN, "--count", "4")
    assert too_many.exit_code == 2
    assert "0 of at most 3 replicas" in too_many.output
    unknown = run("manage", "launch", "back", "--host", "berlin")
    assert unknown.exit_code == 2
    assert "take one of front" in unknown.output
    nowhere = run("manage", "leave", "rome")
    assert "there is no host 'rome'; take one of berlin, tokyo" in nowhere.output
    assert containers(run) == []


def test_where_must_be_said_and_in_one_way(run: Run) -> None:
    for wrong in ((), ("--at", BERLIN, "--host", "berlin")):
        refused = run("manage", "launch", "front", *wrong)
        assert (refused.exit_code, "in one way" in refused.output) == (2, True)
    nowhere = run("manage", "launch", "front", "--at", "91,0")
    assert "'91,0' is no place; write LATITUDE,LONGITUDE" in nowhere.output


def test_a_launch_that_finds_no_room_fails_and_says_which_hosts_have_none(
    run: Run, manager: SimulatedManager
) -> None:
    assert run("manage", "update", "service/front", "memory_bytes=1e11").exit_code == 0
    failed = run("manage", "launch", "front", "--at", BERLIN)
    assert failed.exit_code == 1
    assert "no host has room for front" in failed.output


def test_entities_are_made_changed_associated_and_deleted(
    run: Run, manager: SimulatedManager, tmp_path: Path
) -> None:
    file = tmp_path / "more.toml"
    file.write_text('scope = "service"\ndecision = "replicate"\nconditions = ["busy"]\n')
    busy = ("condition/busy", "field=cpu-%", "operator=>", "value=80")
    assert run("manage", "create", *busy).exit_code == 0
    assert run("manage", "create", "rule/more", "--file", str(file), "priority=3").exit_code == 0
    assert run("manage", "associate", "rule/more", "targets", "front").exit_code == 0
    assert (
        "among targets of rule/more already"
        in run("manage", "associate", "rule/more", "targets", "front").output
    )
    (found,) = documents(run("manage", "show", "rule/more", "--json"))
    assert (found["owner"], found["values"]["priority"], found["values"]["targets"]) == (
        "master",
        3,
        ["front"],
    )
    assert "targets" in run("manage", "show", "rule/more").stdout
    assert run("manage", "dissociate", "rule/more", "targets", "front").exit_code == 0
    assert run("manage", "delete", "rule/more").exit_code == 0
    assert "busy" in run("manage", "list", "condition").stdout
    assert "the manager knows of no rule yet" in run("manage", "list", "rule").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "service/cart", "minimum_replicas=-1"), "minimum_replicas"),
        (("create", "service/cart", "colour=red"), "colour: this is no known key"),
        (("create", "service/cart", "memory_bytes"), "write FIELD=VALUE"),
        (("create", "engine/x"), "there is no kind 'engine' of entity"),
        (("create", "container/x"), "a container can't be written"),
        (("update", "service/cart", "minimum_replicas=1"), "there is no service 'cart'; there are front"),
        (("update", "service/front"), "nothing to change"),
        (("show", "service"), "has no name; write service/NAME"),
        (("associate", "service/front", "targets", "x"), "its lists are command, ports, volumes"),
        (("delete", "service/cart"), "there is no 'service/cart'"),
        (("create", "service/front"), "exists; update it"),
    ],
)
def test_what_is_wrong_with_an_entity_is_said(
    run: Run, manager: SimulatedManager, arguments: tuple[str, ...], says: str
) -> None:
    before = run("manage", "list", "service", "--json").stdout
    refused = run("manage", *arguments)
    assert (refused.exit_code, says in refused.output) == (2, True), refused.output
    assert run("manage", "list", "service", "--json").stdout == before


def test_a_topology_is_seeded_once_and_launched_as_an_app(run: Run, manager: SimulatedManager) -> None:
    seeded = run("manage", "seed", "crash-test")
    assert "app/crash-test" in seeded.stdout.splitlines()
    assert "all of it is there already" in run("manage", "seed", "crash-test").stdout
    assert run("manage", "launch-app", "crash-test", "--at", TOKYO, "--wait").exit_code == 0
    assert {each["values"]["host"] for each in containers(run)} == {"tokyo"}


def test_components_are_seeded_of_the_kinds_that_are_named_or_else_of_all(
    run: Run, manager: SimulatedManager
) -> None:
    some = run("manage", "seed-components", "--kind", "worker", "--kind", "registry")
    assert some.stdout.split() == ["service/region-registry", "service/region-worker"]
    assert run("manage", "seed-components").stdout.split() == ["service/region-balancer"]
    assert run("manage", "seed-components", "--kind", "proxy").exit_code == 2


def test_events_say_what_was_decided_for_which_command(run: Run, manager: SimulatedManager) -> None:
    outcome = documents(run("manage", "launch", "front", "--host", "tokyo", "--wait", "--json"))[0]
    found = documents(run("manage", "events", "--command", outcome["command_id"], "--json"))
    assert [each["state"] for each in found] == ["decided", "done"]
    assert {each["command_id"] for each in found} == {outcome["command_id"]}
    text = run("manage", "events", "--entity", f"container/{outcome['events'][0]['container']}").stdout
    assert "asked for by" in text


def test_without_a_manager_nothing_is_done_and_it_is_said(broker: MemoryBroker) -> None:
    context = Context(lambda: Connection(broker=broker, topic_prefix=""))
    with pytest.raises(Unavailable, match=r"no manager answered within 0\.2 s to drain of host/berlin"):
        execute(GiveCommand(action="drain", entity="host/berlin", answer_s=0.2), context)


def test_lists_show_the_fields_that_matter(run: Run, manager: SimulatedManager) -> None:
    hosts = run("manage", "list", "host").stdout
    assert "berlin" in hosts
    assert "running" in hosts
    assert "region" in run("manage", "list").stdout
    assert "Europe" in run("manage", "list", "region").stdout
