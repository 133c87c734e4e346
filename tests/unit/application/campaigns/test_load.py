"""The load of a campaign: as planned while it runs, and as it was before afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from campaign_runs import (
    PLAN,
    Injector,
    Killed,
    begin_with_load,
    entered,
    happened,
    interrupted_at,
    killed_at,
    let_lease_run_out,
    users_see,
)

from microservo.application import campaigns
from microservo.application.campaign_runner import CampaignAborted
from microservo.client.client import Client
from microservo.domain.campaigns.definition import SECOND_US, Bounds, LoadStep
from microservo.errors import Unavailable
from microservo.testing import MemoryBroker


def test_the_load_follows_the_plan_and_is_left_alone_where_it_is_right(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    load = (
        LoadStep(at_us=0, journeys_per_s=8.0),
        LoadStep(at_us=SECOND_US // 2, journeys_per_s=2.0),
        LoadStep(at_us=SECOND_US, journeys_per_s=8.0),
    )
    begin_with_load(client, broker, 8.0)
    client.campaigns.run(replace(PLAN, load=load))
    assert set_to == [2.0, 8.0]
    assert entered(client, "load") == ["2 journeys/s", "8 journeys/s"]
    assert len(injector.ids) == 2


LOADED = replace(PLAN, load=(LoadStep(at_us=0, journeys_per_s=20.0),))


def follow_load(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rates that the users' journeys are set to, from now on."""
    set_to: list[float] = []
    monkeypatch.setattr(campaigns, "_set_load", lambda rate, _context: set_to.append(rate))
    return set_to


def test_the_load_of_a_campaign_ends_with_it(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    begin_with_load(client, broker, 8.0)
    client.campaigns.run(LOADED)
    assert set_to == [20.0, 8.0]
    assert entered(client, "load") == ["20 journeys/s", "8 journeys/s, as before"]
    assert happened(client)[-2:] == ["load", "done"]
    assert len(injector.ids) == 2


def test_the_load_of_a_campaign_ends_with_its_abort(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, set_to = [0.01], list[float]()

    def too_much(rate: float, _context: Any) -> None:
        set_to.append(rate)
        seen.append(0.99)

    monkeypatch.setattr(campaigns, "_set_load", too_much)
    begin_with_load(client, broker, 8.0)
    plan = replace(LOADED, steady=Bounds(error_share=0.1, within_s=30.0), abort=Bounds(error_share=0.5))
    with users_see(broker, seen), pytest.raises(CampaignAborted, match="99% of the requests fail"):
        client.campaigns.run(plan)
    assert set_to == [20.0, 8.0]
    assert happened(client)[-2:] == ["load", "rolled_back"]


def test_a_campaign_that_is_not_begun_leaves_the_load_alone(
    client: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    begin_with_load(client, broker, 8.0)
    plan = replace(LOADED, steady=Bounds(error_share=0.1, within_s=0.5))
    with pytest.raises(CampaignAborted, match="no request of a user is known"):
        client.campaigns.run(plan)
    assert set_to == []


def test_the_load_of_a_campaign_that_is_interrupted_ends_and_comes_again_with_it(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    begin_with_load(client, broker, 8.0)
    with monkeypatch.context() as patched:
        interrupted_at("requested", patched, step=1)
        with pytest.raises(KeyboardInterrupt):
            client.campaigns.run(LOADED)
    assert set_to == [20.0, 8.0]
    client.campaigns.resume()
    assert set_to == [20.0, 8.0, 8.0, 20.0, 8.0], "before the steady state is looked for, and at the end"
    assert len(injector.ids) == 2


def test_who_goes_on_after_a_kill_sets_the_load_back_that_was_left(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    begin_with_load(client, broker, 8.0)
    with monkeypatch.context() as patched:
        killed_at("requested", patched, step=1)
        with pytest.raises(Killed):
            client.campaigns.run(LOADED)
    assert set_to == [20.0]
    let_lease_run_out(client, broker)
    client.campaigns.resume()
    assert set_to == [20.0, 8.0, 20.0, 8.0]
    assert len(injector.ids) == 2


def test_a_load_that_can_not_be_set_back_is_told_and_the_campaign_is_done(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(rate: float, _context: Any) -> None:
        if rate == 8.0:
            msg = "there is no load generator any more"
            raise Unavailable(msg)

    monkeypatch.setattr(campaigns, "_set_load", refuse)
    begin_with_load(client, broker, 8.0)
    assert client.campaigns.run(LOADED).status.standing == "done"
    told = "left as it is: it can't be set back to 8 journeys/s (there is no load generator any more)"
    assert entered(client, "load") == ["20 journeys/s", told]
    assert len(injector.ids) == 2


def test_a_load_that_was_not_known_before_is_left_and_that_is_told(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to = follow_load(monkeypatch)
    begin_with_load(client, broker, 8.0, 4.0)
    client.campaigns.run(LOADED)
    assert set_to == [20.0]
    assert entered(client, "load")[-1] == "left as it is: what it was before is not known"
    assert len(injector.ids) == 2
