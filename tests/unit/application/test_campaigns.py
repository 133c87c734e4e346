"""Campaigns from start to end on a broker in memory, with an injector that only answers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fault_states import state_of
from recorded_progress import RecordedProgress

from microservo.adapters.clock import now_us
from microservo.application import campaigns
from microservo.application.campaign_journal import LEASE_US
from microservo.application.campaign_runner import CampaignAborted, summary
from microservo.client.client import Client
from microservo.domain.campaigns import course
from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.definition import Bounds, LoadStep
from microservo.domain.campaigns.plan import CampaignPlan, one_after_another
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.log.run_records import write_run
from microservo.log.subscription import Subscription
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.records import (
    CampaignRun,
    Experiment,
    FaultEvent,
    FaultRequest,
    FaultState,
    FeatureWindow,
    RunLoad,
)

SECOND_US = 1_000_000
PLAN = one_after_another(
    "two",
    7,
    "tiny",
    [
        CampaignFault(kind="cpu-hog", service="cart", parameters={}, duration_s=1, gap_s=0),
        CampaignFault(
            kind="network-delay", service="front", parameters={"latency": "300ms"}, duration_s=1, gap_s=0
        ),
    ],
)


class Killed(BaseException):
    """Stands for a kill: nothing of ours handles it."""


class Injector:
    """Stands for the injector: carries out each fault once, by its id, in a tenth of the time.

    Attributes:
        requests: that were read.
        ids: of the faults that were carried out.
        holds: whether faults stay in force until they are stopped.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self.requests: list[FaultRequest] = []
        self.ids: list[str] = []
        self.holds = False
        self._broker = broker
        self._subscription = Subscription(broker, "fault-requests")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer)

    def _answer(self) -> None:
        with self._subscription, self._broker.producer() as producer:
            while not self._ending.is_set():
                received = self._subscription.poll(0.02)
                if received is None or not isinstance(received.record, FaultRequest):
                    continue
                request = received.record
                self.requests.append(request)
                for event in self._events(request):
                    key = event.fault_id.encode()
                    producer.send("fault-events", key=key, value=encode(event))
                    # As the injector does, so that who comes later knows of it.
                    producer.send("faults", key=key, value=encode(state_of(event)))

    def _events(self, request: FaultRequest) -> Iterator[FaultEvent]:
        if request.action == "stop":
            asked = next(each for each in self.requests if each.fault_id == request.fault_id)
            yield event_for(asked, 3, "stopped")
            return
        if request.fault_id in self.ids:
            return
        self.ids.append(request.fault_id)
        yield event_for(request, 1, "active")
        if not self.holds:
            yield event_for(request, 2, "recovered")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._thread.join()


def event_for(request: FaultRequest, version: int, state: FaultState) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id=request.fault_id,
        version=version,
        kind=request.kind,
        service=request.service,
        instance=f"{request.service}-0",
        state=state,
        at_us=now_us(),
        requested_at_us=request.requested_at_us,
        duration_us=request.duration_us,
        parameters={},
        applied_at_us=request.requested_at_us + 50_000,
    )


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    Client(broker=broker).topics.ensure(partitions=1)
    run = Experiment(
        run_id="run-1",
        status="running",
        seed=7,
        target="tiny",
        started_at_us=now_us(),
        window_us=5 * SECOND_US,
        first_cut_us=SECOND_US,
        final_cut_us=10 * SECOND_US,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    write_run(broker, run, process="system", clock=now_us)
    return broker


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def client(broker: MemoryBroker) -> Client:
    return Client(broker=broker)


@pytest.fixture
def injector(broker: MemoryBroker) -> Iterator[Injector]:
    injector = Injector(broker)
    with injector.running():
        yield injector


def happened(client: Client) -> list[str]:
    return [entry.event for entry in client.campaigns.report().journal]


def killed_at(event: str, monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """Has the campaign be killed right behind an entry of its journal."""
    from microservo.application import campaign_journal  # noqa: PLC0415  # only where one is killed

    enter = campaign_journal.CampaignJournal.enter

    def enter_and_die(journal: Any, what: Any, **given: Any) -> None:
        enter(journal, what, **given)
        if (what, given.get("step")) == (event, step):
            monkeypatch.undo()
            raise Killed

    monkeypatch.setattr(campaign_journal.CampaignJournal, "enter", enter_and_die)


def let_lease_run_out(client: Client, broker: MemoryBroker) -> CampaignRun:
    """As if a quarter of a minute had passed since the kill."""
    (status,) = client.campaigns.list()
    assert status.standing == "running"
    past = replace(status.run, lease_until_us=now_us() - 1, updated_at_us=now_us() - LEASE_US)
    with broker.producer() as producer:
        producer.send("campaigns", key=past.campaign_id.encode(), value=encode(past))
    (status,) = client.campaigns.list()
    assert status.standing == "killed"
    return past


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
    from microservo.application.campaign_faults import CampaignFaults  # noqa: PLC0415  # only here

    send = CampaignFaults.request

    def send_and_die(faults: CampaignFaults, *given: Any) -> None:
        send(faults, *given)
        monkeypatch.undo()
        raise Killed

    monkeypatch.setattr(CampaignFaults, "request", send_and_die)
    with pytest.raises(Killed):
        client.campaigns.run(PLAN, campaign_id="two-1")
    let_lease_run_out(client, broker)
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


def window(error_share: float) -> FeatureWindow:
    end_us = now_us()
    return FeatureWindow(
        run_id="run-1",
        service="loadgen",
        service_kind="load_generator",
        start_us=end_us - 5 * SECOND_US,
        end_us=end_us,
        revision=0,
        names=("call/*/count", "call/*/error_share", "call/*/p99_ms"),
        values=(50.0, error_share, 90.0),
    )


@contextmanager
def users_see(broker: MemoryBroker, error_share: list[float]) -> Iterator[None]:
    """Publishes a window of the users' calls ten times a second; the list's last value is theirs."""
    ending = threading.Event()

    def publish() -> None:
        with broker.producer() as producer:
            while not ending.wait(0.1):
                producer.send("feature-windows", key=b"loadgen", value=encode(window(error_share[-1])))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def bounded(**bounds: Any) -> CampaignPlan:
    return replace(PLAN, steady=Bounds(error_share=0.1, within_s=5.0), abort=Bounds(**bounds))


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


def test_the_load_follows_the_plan_and_is_left_alone_where_it_is_right(
    client: Client, broker: MemoryBroker, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[float] = []
    monkeypatch.setattr(campaigns, "_set_load", lambda rate, _context: set_to.append(rate))
    load = (
        LoadStep(at_us=0, journeys_per_s=8.0),
        LoadStep(at_us=SECOND_US // 2, journeys_per_s=2.0),
        LoadStep(at_us=SECOND_US, journeys_per_s=8.0),
    )
    (run,) = client.runs.list()
    began = RunLoad(journeys_per_s=8.0, seed=7, amplitude=0.0, period_s=600.0, noise=0.0, noise_s=10.0)
    write_run(broker, replace(run, loads=(began,)), process="system", clock=now_us)
    report = client.campaigns.run(replace(PLAN, load=load))
    assert set_to == [2.0, 8.0]
    told = [entry.detail for entry in report.journal if entry.event == "load"]
    assert told == ["2 journeys/s", "8 journeys/s"]
    assert len(injector.ids) == 2


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
