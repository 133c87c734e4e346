"""Campaigns on a broker in memory: a plan, an injector that only answers, and what happens to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fault_states import state_of

from microservo.adapters.clock import now_us
from microservo.application.campaign_journal import LEASE_US
from microservo.client.client import Client
from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.definition import SECOND_US, Bounds
from microservo.domain.campaigns.plan import CampaignPlan, one_after_another
from microservo.log.run_records import write_run
from microservo.log.subscription import Subscription
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.records import (
    CampaignRun,
    FaultEvent,
    FaultRequest,
    FaultState,
    FeatureWindow,
    RunLoad,
)

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

    def end(self, fault_id: str) -> None:
        """Ends a fault that it held in force."""
        asked = next(each for each in self.requests if each.fault_id == fault_id)
        event = event_for(asked, 2, "recovered")
        with self._broker.producer() as producer:
            producer.send("fault-events", key=fault_id.encode(), value=encode(event))
            producer.send("faults", key=fault_id.encode(), value=encode(state_of(event)))

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


def happened(client: Client) -> list[str]:
    return [entry.event for entry in client.campaigns.report().journal]


def entered(client: Client, event: str) -> list[str]:
    return [entry.detail for entry in client.campaigns.report().journal if entry.event == event]


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


def interrupted_at(event: str, monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """Has its user interrupt the campaign right behind an entry of its journal."""
    from microservo.application import campaign_journal  # noqa: PLC0415  # only where one is interrupted

    enter = campaign_journal.CampaignJournal.enter

    def enter_and_interrupt(journal: Any, what: Any, **given: Any) -> None:
        enter(journal, what, **given)
        if (what, given.get("step")) == (event, step):
            raise KeyboardInterrupt

    monkeypatch.setattr(campaign_journal.CampaignJournal, "enter", enter_and_interrupt)


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


def left_after(
    event: str, plan: CampaignPlan, client: Client, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs a campaign whose process is killed right behind an entry for its first fault."""
    with monkeypatch.context() as patched:
        killed_at(event, patched, step=1)
        with pytest.raises(Killed):
            client.campaigns.run(plan, campaign_id="two-1")
    let_lease_run_out(client, broker)


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
    return replace(PLAN, steady=Bounds(error_share=0.1, within_s=30.0), abort=Bounds(**bounds))


def begin_with_load(client: Client, broker: MemoryBroker, *rates: float) -> None:
    """Has the run say with which load it began."""
    (run,) = client.runs.list()
    loads = tuple(
        RunLoad(journeys_per_s=rate, seed=7, amplitude=0.0, period_s=600.0, noise=0.0, noise_s=10.0)
        for rate in rates
    )
    write_run(broker, replace(run, loads=loads), process="system", clock=now_us)
