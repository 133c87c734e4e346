"""Placement policies on the command line, with a manager that decides as a real one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

import pytest
from click.testing import Result
from simulated_manager import SimulatedManager, managed

from microservo import Client
from microservo.domain.manager.entities import Settings
from microservo.domain.manager.simulation import judging
from microservo.domain.manager.simulation.judging import PolicyRow, PolicyScore
from microservo.testing import MemoryBroker

Run = Callable[..., Result]


def a_score(policy: str, minutes: int) -> PolicyScore:
    return PolicyScore(
        policy=policy,
        latency_p50_ms=76.25,
        latency_p99_ms=213.5,
        slo_minutes_lost=minutes,
        slo_minutes=4320,
        lost_percent=0.125,
        moves_per_h=1.5,
        changes_per_h=20.0,
        cost_core_h=1990.0,
    )


@pytest.fixture
def manager(broker: MemoryBroker) -> Iterator[SimulatedManager]:
    with managed(broker, []) as found:
        yield found


def test_a_policy_is_shown_and_deployed_and_other_settings_stay(run: Run, manager: SimulatedManager) -> None:
    first = run("policy", "show")
    assert "none is deployed" in first.stdout
    assert run("manage", "create", "settings/manager", "minimum_hosts=4").exit_code == 0
    deployed = run("policy", "deploy", "random")
    assert deployed.exit_code == 0, deployed.output
    assert manager.world.state.settings == Settings(minimum_hosts=4, policy="random")
    shown = json.loads(run("policy", "show", "--json").stdout)
    assert shown == {
        "deployed": "random",
        "known": ["rules", "nothing", "random"],
        "controls": ["nothing", "random"],
    }
    said = run("manage", "events", "--entity", "settings/manager").stdout
    assert "random decides from now on, rules did before" in said


def test_a_policy_that_is_not_there_is_refused_with_those_that_are(
    run: Run, manager: SimulatedManager
) -> None:
    refused = run("policy", "deploy", "best")
    assert refused.exit_code == 2
    assert "there is no policy 'best' here; take one of rules, nothing, random" in refused.output
    assert manager.world.state.settings.policy == ""


def test_the_library_deploys_policies_too(broker: MemoryBroker, manager: SimulatedManager) -> None:
    with Client(broker=broker) as client:
        assert client.manager.policies().deployed == ""
        client.manager.deploy_policy("nothing")
        assert client.manager.policies().deployed == "nothing"
        client.manager.deploy_policy("")
        assert client.manager.policies().deployed == ""


def test_policies_are_compared_as_table_csv_and_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], int, int]] = []

    def compare(names: Iterable[str], *, seed: int, days: int) -> tuple[PolicyRow, ...]:
        asked.append((tuple(names), seed, days))
        return (
            PolicyRow(place=1, is_control=False, score=a_score("rules", 900)),
            PolicyRow(place=None, is_control=True, score=a_score("random", 1900)),
        )

    # Whole days take half a minute; tests/unit/domain/manager/test_judging.py lives through them.
    monkeypatch.setattr(judging, "compare_policies", compare)
    table = run("policy", "compare").stdout
    assert "900 of 4320" in table
    assert "control" in table
    assert "better than each control" in table
    lines = run(
        "policy", "compare", "rules", "--seed", "7", "--days", "5", "--format", "csv"
    ).stdout.splitlines()
    assert lines == [
        "place,is_control,policy,latency_p99_ms,slo_minutes_lost,slo_minutes,latency_p50_ms,lost_percent,"
        "moves_per_h,changes_per_h,cost_core_h",
        "1,false,rules,213.5,900,4320,76.25,0.125,1.5,20.0,1990.0",
        ",true,random,213.5,1900,4320,76.25,0.125,1.5,20.0,1990.0",
    ]
    first, _ = (json.loads(line) for line in run("policy", "compare", "--format", "json").stdout.splitlines())
    assert (first["place"], first["score"]["slo_minutes_lost"]) == (1, 900)
    assert asked[:2] == [(("rules", "nothing", "random"), 0, 3), (("rules",), 7, 5)]
    assert run("policy", "compare", "--days", "2").exit_code == 2
