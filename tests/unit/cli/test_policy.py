"""Placement policies on the command line, with a manager that decides as a real one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from simulated_manager import SimulatedManager, managed

from microservo import Client
from microservo.domain.manager.entities import Settings
from microservo.testing import MemoryBroker

Run = Callable[..., Result]


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
