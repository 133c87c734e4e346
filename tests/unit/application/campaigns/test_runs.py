"""Campaigns from start to end on a broker in memory, with an injector that only answers."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from campaign_runs import PLAN, Injector, Killed, bounded, event_for, killed_at, users_see
from recorded_progress import RecordedProgress

from microservo.adapters.clock import now_us
from microservo.application.campaign_runner import CampaignAborted, summary
from microservo.client.client import Client
from microservo.domain.campaigns import course
from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.definition import SECOND_US, Bounds
from microservo.domain.campaigns.plan import one_after_another
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.testing import MemoryBroker
from schemas.records import (
    FaultRequest,
)


def test_faults_come_one_after_another_as_planned(
    client: Client, injector: Injector, progress: RecordedProgress
) -> None:
    report = client.campaigns.run(PLAN, campaign_id="two-1", progress=progress)
    assert [(each.kind, each.service, each.duration_us) for each in injector.requests] == [
        ("cpu-hog", "cart", SECOND_US),
        ("network-delay", "front", SECOND_US),
    ]
    assert injector.ids == ["two-1-001", "two-1-002"]
    assert [stage.title for stage in progress.stages][-2:] == [
        "fault 1/2: cpu-hog on cart",
        "fault 2/2: network-delay on front latency=300ms",
    ]
    assert all("recovered, applied +0.05 s" in stage.texts[-1] for stage in progress.stages[-2:])
    assert report.status.standing == "done"
    assert (report.status.run.faults_over, report.status.run.faults) == (2, 2)
    assert [each.fault_id for each in report.faults] == injector.ids
    assert [each.event for each in report.journal] == [
        *("started", "steady", "began", "requested", "over", "requested", "over", "done")
    ]


def test_the_run_says_what_was_planned(client: Client, injector: Injector) -> None:
    client.campaigns.run(PLAN)
    (run,) = client.runs.list()
    assert [(each.kind, each.service, each.duration_s) for each in run.plan] == [
        ("cpu-hog", "cart", 1),
        ("network-delay", "front", 1),
    ]
    assert len(injector.ids) == 2


def test_silence_of_the_injector_ends_the_campaign(
    client: Client, monkeypatch: pytest.MonkeyPatch, progress: RecordedProgress
) -> None:
    monkeypatch.setattr(course, "GRACE_US", -2 * SECOND_US)
    monkeypatch.setattr("microservo.application.campaign_runner._ROLLBACK_US", 0)
    with pytest.raises(CampaignAborted, match="is the injector running"):
        client.campaigns.run(PLAN, progress=progress)
    report = client.campaigns.report()
    assert report.status.standing == "aborted"
    assert report.journal[-1].event == "rolled_back"
    assert "still open" in report.journal[-1].detail


def test_a_campaign_begins_once_the_target_is_steady(
    client: Client, broker: MemoryBroker, injector: Injector
) -> None:
    seen = [0.9]
    timer = threading.Timer(1.0, seen.append, [0.01])
    begun_us = now_us()
    timer.start()
    with users_see(broker, seen):
        report = client.campaigns.run(bounded())
    (steady,) = [entry for entry in report.journal if entry.event == "steady"]
    assert steady.at_us - begun_us >= SECOND_US
    assert len(injector.ids) == 2


def test_a_target_that_never_is_steady_is_not_touched(
    client: Client, broker: MemoryBroker, injector: Injector
) -> None:
    plan = replace(PLAN, steady=Bounds(error_share=0.1, within_s=1.0))
    with (
        users_see(broker, [0.9]),
        pytest.raises(CampaignAborted, match="90% of the requests fail, 10% may"),
    ):
        client.campaigns.run(plan)
    assert injector.requests == []
    assert client.campaigns.report().status.standing == "aborted"


def test_a_target_that_leaves_its_bounds_ends_the_campaign_and_what_is_in_force_is_taken_back(
    client: Client, broker: MemoryBroker, injector: Injector
) -> None:
    injector.holds = True
    seen = [0.01]
    timer = threading.Timer(1.5, seen.append, [0.99])
    timer.start()
    long = one_after_another(
        "long",
        7,
        "tiny",
        [CampaignFault(kind="cpu-hog", service="cart", parameters={}, duration_s=60, gap_s=0)] * 2,
    )
    plan = replace(long, steady=Bounds(error_share=0.1, within_s=5.0), abort=Bounds(error_share=0.5))
    with users_see(broker, seen), pytest.raises(CampaignAborted, match="99% of the requests fail, 50% may"):
        client.campaigns.run(plan, campaign_id="long-1")
    assert [(each.fault_id, each.action) for each in injector.requests] == [
        ("long-1-001", "inject"),
        ("long-1-001", "stop"),
    ]
    report = client.campaigns.report()
    assert [entry.event for entry in report.journal][-5:] == [
        *("requested", "unsteady", "aborted", "over", "rolled_back")
    ]
    assert report.journal[-1].detail == ""
    assert "99% of the requests fail" in report.status.run.reason


def test_why_a_campaign_was_aborted_is_told_even_if_the_broker_is_away_by_then(
    client: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microservo.application.campaign_faults import CampaignFaults  # noqa: PLC0415  # only here

    def fail(*_: object) -> None:
        msg = "no broker answers"
        raise Retryable(msg)

    monkeypatch.setattr(CampaignFaults, "stop", fail)
    plan = replace(PLAN, steady=Bounds(error_share=0.1, within_s=1.0))
    expected = "90% of the requests fail.*rolling back failed, too: no broker answers; what is in force ends"
    with users_see(broker, [0.9]), pytest.raises(CampaignAborted, match=expected):
        client.campaigns.run(plan)


def test_a_campaign_for_another_target_is_refused_and_so_is_one_without_a_run(client: Client) -> None:
    with pytest.raises(InvalidInput, match="campaign two is for mine, and what runs is tiny"):
        client.campaigns.run(replace(PLAN, target="mine"))
    empty = MemoryBroker()
    Client(broker=empty).topics.ensure(partitions=1)
    with pytest.raises(Unavailable, match="no run goes on"):
        Client(broker=empty).campaigns.run(PLAN)
    with pytest.raises(InvalidInput, match="none yet"):
        Client(broker=empty).campaigns.report()


def test_of_two_campaigns_at_once_the_second_is_refused(
    client: Client, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at("requested", monkeypatch, step=1)
    with pytest.raises(Killed):
        client.campaigns.run(PLAN, campaign_id="two-1")
    with pytest.raises(InvalidInput, match="campaign two-1 is running; wait until it is done"):
        client.campaigns.run(PLAN)
    assert injector.requests == []


def test_an_id_that_faults_could_not_begin_with_is_refused(client: Client) -> None:
    with pytest.raises(InvalidInput, match="can't be a fault id"):
        client.campaigns.run(PLAN, campaign_id="my campaign")
    assert client.campaigns.list() == ()


def test_the_summary_has_the_newest_state_with_its_times_after_the_request() -> None:
    request = FaultRequest(fault_id="f", action="inject", requested_at_us=1_000_000, kind="k", service="s")
    active = event_for(request, 2, "active")
    assert summary([]) == "requested"
    assert summary([event_for(request, 1, "applying"), active]) == "active, applied +0.05 s"
    failed = replace(active, version=3, state="failed", reason="refused", applied_at_us=None)
    assert summary([failed]) == "failed (refused)"
