"""Which policy decides, what each of them leaves alone, and that all of them are told again alike."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

import pytest

from microservo.domain.geography import SEVEN_REGIONS
from microservo.domain.manager import actions as act
from microservo.domain.manager import events
from microservo.domain.manager.decide import decide
from microservo.domain.manager.entities import Container, Entity, Host, Node, Service, Settings, document_of
from microservo.domain.manager.journal import event_of, input_of
from microservo.domain.manager.policies import RandomPolicy, RulesPolicy, policy_named, policy_names, registry
from microservo.domain.manager.simulation import Delays, Demand, Origin, World, fleet
from microservo.domain.manager.simulation.world import FIRST_US, SECOND_US
from microservo.domain.manager.state import SystemState
from microservo.errors import InvalidInput
from schemas.records import ControlCommand, ControlEvent

ASIA = SEVEN_REGIONS[5].centre
SLOW = Delays(tick_us=10 * SECOND_US, measure_us=60 * SECOND_US)


def world(policy: str, *, seed: int = 1, containers: int = 12, delays: Delays | None = None) -> World:
    origins: dict[str, tuple[Origin, ...]] = {
        f"s-{number}": (Origin(place=ASIA, requests_per_s=100.0),) for number in range(4)
    }
    entities = fleet(hosts=14, services=4, containers=containers, seed=3, minimum_replicas=2)
    made = World(entities, demand=Demand(origins=origins), delays=delays, policy=policy, seed=seed)
    made.run(10)
    return made


def reports(made: World, action: str) -> list[ControlEvent]:
    return [each.event for each in made.actions(act.Report) if each.event.action == action]


def deploy(made: World, policy: str) -> None:
    is_there = made.state.entity("settings/manager") is not None
    command = ControlCommand(
        command_id=f"deploy-{len(made.events)}",
        entity="settings/manager",
        action="update" if is_there else "create",
        requested_at_us=made.now_us,
        requested_by="ana",
        arguments={},
        document=document_of(Settings(policy=policy)),
    )
    made.tell(events.CommandGiven(now_us=made.now_us, command=command))


def launch(made: World, service: str, host: str) -> None:
    command = ControlCommand(
        command_id=f"launch-{len(made.events)}",
        entity=f"service/{service}",
        action="launch",
        requested_at_us=made.now_us,
        requested_by="ana",
        arguments={"host": host},
        document="",
    )
    made.tell(events.CommandGiven(now_us=made.now_us, command=command))


def test_nothing_neither_recovers_nor_fills_up_but_carries_commands_out() -> None:
    made = world("nothing", containers=4)
    made.kill("c-0")
    made.fail(["h-1"])
    made.run(30)
    assert sorted(made.running) == ["c-2", "c-3"]
    assert {name: made.state.containers[name].state for name in ("c-0", "c-1")} == {
        "c-0": "down",
        "c-1": "down",
    }
    assert "the policy nothing leaves it down" in reports(made, "end")[0].reason
    launch(made, "s-0", "h-5")
    made.run(5)
    assert [each.host for each in made.running.values() if each.service == "s-0"] == ["h-5"]


def test_rules_deployed_after_nothing_bring_back_what_is_down_and_fill_up_to_the_minimum() -> None:
    made = world("nothing", containers=4)
    made.kill("c-0")
    made.run(5)
    deploy(made, "rules")
    made.run(12)
    assert made.violations() == []
    assert any(each.recovers == "c-0" for each in made.running.values())
    (said,) = reports(made, "policy")[1:]
    assert (said.state, said.reason) == ("done", "rules decides from now on, nothing did before")


def test_random_moves_adds_and_stops_within_all_bounds_and_differs_by_seed_alone() -> None:
    first, again, other = (world("random", seed=seed, delays=SLOW) for seed in (1, 1, 2))
    for made in (first, again, other):
        made.run(4 * 3600)
        assert made.violations() == []
    assert repr(first.decisions) == repr(again.decisions)
    assert repr(first.decisions) != repr(other.decisions)
    drawn = [each.event for each in first.actions(act.Report) if each.event.rule == "random"]
    assert {each.action for each in drawn} == {"migrate", "replicate", "stop"}
    assert 20 < len(drawn) < 80, "of each of four services about three times an hour"


def test_random_never_touches_what_others_started_nor_what_has_a_volume() -> None:
    entities: list[Entity] = [
        Host(
            name="h",
            place="edge",
            latitude=50.0,
            longitude=10.0,
            state="running",
            memory_bytes=2.0**36,
            cores=16.0,
            disk_bytes=1e12,
        ),
        Node(host="h"),
        Service(name="free", memory_bytes=1e9),
        Service(name="kept", memory_bytes=1e9, is_stateful=True),
        *(
            Container(
                name=f"{service}-{number}",
                service=service,
                host="h",
                state="running",
                latitude=50.0,
                longitude=10.0,
                managed_by=manager,
                started_at_us=1,
            )
            for service, manager in (("free", ""), ("kept", "master"))
            for number in range(3)
        ),
    ]
    made = World(entities, policy="random", delays=SLOW)
    made.run(4 * 3600)
    assert not made.actions(act.Stop)
    assert {each.container.service for each in made.actions(act.Launch)} == {"kept"}


@pytest.mark.parametrize("policy", policy_names())
def test_told_again_a_policy_decides_the_same_to_the_last_byte_deployed_later_too(policy: str) -> None:
    made = world("rules")
    deploy(made, policy)
    made.kill(min(made.running))
    made.run(600)
    state = SystemState()
    again = [decide(state, event_of(*input_of(event), event.now_us)) for event in made.events]
    assert repr(again) == repr(made.decisions)
    assert state.deployed.policy is not None
    assert state.deployed.policy.name == policy


def test_of_which_there_is_no_policy_is_refused_and_the_one_before_goes_on() -> None:
    made = world("random")
    deploy(made, "best")
    (refused,) = reports(made, "create")
    assert refused.state == "refused"
    assert "there is no policy 'best' here; take one of rules, nothing, random" in refused.reason
    made.tell(
        events.EntityChanged(
            now_us=made.now_us, key="settings/manager", entity=Settings(policy="best"), owner="master"
        )
    )
    made.run(5)
    said = [each for each in reports(made, "policy") if each.state == "failed"]
    assert [each.reason.endswith("; random goes on") for each in said] == [True], "once, not each second"
    with pytest.raises(InvalidInput, match="no policy 'best'"):
        World([], policy="best")


def test_settings_without_a_policy_leave_it_at_the_one_that_the_process_was_started_with() -> None:
    made = world("nothing")
    deploy(made, "rules")
    assert isinstance(made.state.deployed.policy, RulesPolicy)
    deploy(made, "")
    assert made.state.deployed.policy is not None
    assert made.state.deployed.policy.name == "nothing"


class Cheapest(RandomPolicy):
    name = "cheapest"


def test_another_distribution_adds_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        EntryPoint("cheapest", f"{__name__}:Cheapest", registry.GROUP),
        EntryPoint("broken", "nowhere.at_all:Policy", registry.GROUP),
        EntryPoint("misnamed", f"{__name__}:Cheapest", registry.GROUP),
    ]

    def entry_points(*, group: str, name: str = "") -> Iterable[EntryPoint]:
        return [each for each in found if each.group == group and name in ("", each.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert policy_names() == ("rules", "nothing", "random", "broken", "cheapest", "misnamed")
    assert isinstance(policy_named("cheapest", 1), Cheapest)
    for name, says in (("broken", "can't be had from 'nowhere.at_all:Policy'"), ("misnamed", "calls itself")):
        with pytest.raises(InvalidInput, match=says):
            policy_named(name, 1)


def test_the_first_thing_that_a_manager_is_told_is_with_what_it_was_started() -> None:
    kind, document = input_of(events.LifeBegan(now_us=FIRST_US, policy="random", seed=7))
    state = SystemState()
    decide(state, event_of(kind, document, FIRST_US))
    assert isinstance(state.deployed.policy, RandomPolicy)
    assert state.seed == 7
