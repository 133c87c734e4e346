"""Campaigns that were killed or interrupted, and go on."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from campaign_runs import (
    PLAN,
    Injector,
    Killed,
    bounded,
    happened,
    killed_at,
    left_after,
    let_lease_run_out,
    users_see,
)

from microservo.adapters.clock import now_us
from microservo.application.campaign_runner import CampaignAborted
from microservo.client.client import Client
from microservo.domain.campaigns import course
from microservo.domain.campaigns.definition import SECOND_US, Bounds
from microservo.errors import InvalidInput, Unavailable
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker, eventually
from schemas.codec import encode


@pytest.mark.parametrize("event", ["requested", "over"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_campaign_that_was_killed_goes_on_without_a_fault_lost_or_doubled(  # noqa: PLR0917  # fixtures
    client: Client,
    broker: MemoryBroker,
    injector: Injector,
    monkeypatch: pytest.MonkeyPatch,
    event: str,
    step: int,
) -> None:
    killed_at(event, monkeypatch, step=step)
    with pytest.raises(Killed):
        client.campaigns.run(PLAN, campaign_id="two-1")
    (status,) = client.campaigns.list()
    lease = datetime.fromtimestamp((status.run.lease_until_us or 0) / 1e6, UTC)
    refused = (
        f"two-1 is running, so there is nothing to go on with; .* ends at {lease:%Y-%m-%d %H:%M:%SZ} unless"
    )
    with pytest.raises(InvalidInput, match=refused):
        client.campaigns.resume()
    let_lease_run_out(client, broker)
    report = client.campaigns.resume()
    assert injector.ids == ["two-1-001", "two-1-002"]
    assert Counter(each.fault_id for each in injector.requests) == {"two-1-001": 1, "two-1-002": 1}
    assert report.status.standing == "done"
    assert "resumed" in happened(client)


def test_a_request_that_was_sent_just_before_the_kill_is_not_sent_again(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_in_force(client, broker, monkeypatch)
    client.campaigns.resume()
    assert Counter(each.fault_id for each in injector.requests) == {"two-1-001": 1, "two-1-002": 1}


def test_who_was_taken_for_dead_stops_when_somebody_else_goes_on(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microservo.application import campaign_journal  # noqa: PLC0415  # only here

    monkeypatch.setattr(campaign_journal, "RENEW_US", 0)
    killed_at("requested", monkeypatch, step=1)
    with pytest.raises(Killed):
        client.campaigns.run(PLAN, campaign_id="two-1")
    past = let_lease_run_out(client, broker)
    renew = campaign_journal.CampaignJournal.renew

    def rival(journal: Any) -> None:
        with broker.producer() as producer:
            producer.send("campaigns", key=b"two-1", value=encode(replace(past, holder="campaign-rival")))
        monkeypatch.undo()
        monkeypatch.setattr(campaign_journal, "RENEW_US", 0)
        renew(journal)

    monkeypatch.setattr(campaign_journal.CampaignJournal, "renew", rival)
    with pytest.raises(Unavailable, match="was taken over by campaign-rival"):
        client.campaigns.resume()
    assert len(injector.ids) <= 1


def test_a_campaign_goes_on_once_the_target_is_steady_again(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [0.01]
    with users_see(broker, seen):
        left_after("over", bounded(), client, broker, monkeypatch)
        seen.append(0.9)
        timer = threading.Timer(1.5, seen.append, [0.01])
        timer.start()
        resumed_us = now_us()
        report = client.campaigns.resume()
    # The newest window may still be of before.
    steady = [entry for entry in report.journal if entry.event == "steady"][-1]
    assert [entry.event for entry in report.journal] == [
        *("started", "steady", "began", "requested", "over"),
        *("resumed", "steady", "requested", "over", "done"),
    ]
    assert steady.at_us - resumed_us >= SECOND_US
    assert len(injector.ids) == 2


def test_a_campaign_that_can_not_go_on_for_the_target_is_not_steady_can_be_resumed_later(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, steady=Bounds(error_share=0.1, within_s=4.0))
    seen = [0.01]
    with users_see(broker, seen):
        left_after("over", plan, client, broker, monkeypatch)
    seen.append(0.9)
    refused = "90% of the requests fail, 10% may; mend it, then `microservo campaign resume two-1`"
    with users_see(broker, seen), pytest.raises(Unavailable, match=refused):
        client.campaigns.resume()
    (status,) = client.campaigns.list()
    assert (status.standing, happened(client)[-2:]) == ("interrupted", ["resumed", "unsteady"])
    assert "90% of the requests fail" in status.run.reason
    assert injector.ids == ["two-1-001"]
    seen.append(0.01)
    with users_see(broker, seen):
        assert client.campaigns.resume().status.standing == "done"
    assert Counter(each.fault_id for each in injector.requests) == {"two-1-001": 1, "two-1-002": 1}


def left_in_force(client: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a campaign whose process is killed once its first fault is requested."""
    from microservo.application.campaign_faults import CampaignFaults  # noqa: PLC0415  # only here

    send = CampaignFaults.request

    def send_and_die(faults: CampaignFaults, *given: Any) -> None:
        send(faults, *given)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(CampaignFaults, "request", send_and_die)
        with pytest.raises(Killed):
            client.campaigns.run(PLAN, campaign_id="two-1")
    let_lease_run_out(client, broker)


def test_the_steady_state_is_looked_for_once_what_was_left_in_force_is_over(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector.holds = True
    left_in_force(client, broker, monkeypatch)
    eventually(lambda: injector.ids == ["two-1-001"], timeout_s=30, what="the first fault to be in force")
    injector.holds = False
    timer = threading.Timer(1.0, injector.end, ["two-1-001"])
    timer.start()
    report = client.campaigns.resume()
    assert [entry.event for entry in report.journal] == [
        *("started", "steady", "began", "requested"),
        *("resumed", "over", "steady", "requested", "over", "done"),
    ]
    assert Counter(each.fault_id for each in injector.requests) == {"two-1-001": 1, "two-1-002": 1}


def test_a_fault_that_is_never_over_ends_the_campaign_that_was_resumed(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microservo.application import campaign_runner  # noqa: PLC0415  # only here

    injector.holds = True
    left_in_force(client, broker, monkeypatch)
    monkeypatch.setattr(course, "GRACE_US", -2 * SECOND_US)
    monkeypatch.setattr(campaign_runner, "GRACE_US", 0)
    with pytest.raises(CampaignAborted, match="two-1-001 was never over"):
        client.campaigns.resume()
    assert [each.action for each in injector.requests] == ["inject", "stop"]


def test_a_run_in_which_a_campaign_goes_on_says_what_was_still_planned(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at("over", monkeypatch, step=1)
    with pytest.raises(Killed):
        client.campaigns.run(PLAN, campaign_id="two-1")
    let_lease_run_out(client, broker)
    (run,) = client.runs.list()
    write_run(broker, replace(run, status="finished"), process="system", clock=now_us)
    anew = replace(run, run_id="run-2", started_at_us=now_us(), plan=())
    write_run(broker, anew, process="system", clock=now_us)
    assert client.campaigns.resume().status.standing == "done"
    plans = {each.run_id: [fault.kind for fault in each.plan] for each in client.runs.list()}
    assert plans == {"run-1": ["cpu-hog", "network-delay"], "run-2": ["network-delay"]}
    assert len(injector.ids) == 2


def test_a_campaign_goes_on_in_another_run_once_its_time_without_faults_is_over(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_after("requested", PLAN, client, broker, monkeypatch)
    (run,) = client.runs.list()
    write_run(broker, replace(run, status="finished"), process="system", clock=now_us)
    begins_us = now_us() + 2 * SECOND_US
    anew = replace(run, run_id="run-2", started_at_us=now_us(), plan=(), fault_free_until_us=begins_us)
    write_run(broker, anew, process="system", clock=now_us)
    assert client.campaigns.resume().status.standing == "done"
    assert len(injector.ids) == 2
    assert min(each.requested_at_us for each in injector.requests) >= begins_us


def test_a_campaign_that_its_user_interrupts_goes_on_where_it_was(
    client: Client, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microservo.application.campaign_runner import CampaignRunner  # noqa: PLC0415  # only here

    def interrupt(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(CampaignRunner, "_enter_ends", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.campaigns.run(PLAN)
    assert client.campaigns.report().status.standing == "interrupted"
    assert client.campaigns.resume().status.standing == "done"
    assert len(injector.ids) == len(injector.requests) == 2
