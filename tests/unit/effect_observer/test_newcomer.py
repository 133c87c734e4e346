"""From a call that is new to the graph to labels of the caller: injector, observer, windows on one broker."""

from __future__ import annotations

from simulated_telemetry import FRONT, ROOT, Change, Simulation, instant_us

from microservo.adapters.broker import Message
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.effects import EffectObserver
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.domain.telemetry import CLIENT_SPAN
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.log.writers import INJECTOR_WRITER
from microservo.testing import ManualClock, MemoryBroker
from schemas import catalogue
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import FaultEffect, MetricBatch, ServiceGraph, SpanBatch
from tests.unit.effect_observer import harness as observing
from tests.unit.fault_injector import harness as injecting

S = 1_000_000
ASKED_S, CALLED_S, SECONDS = 199, 202, 250
WRITTEN = [source for source in SOURCES if source != catalogue.SERVICE_ACTIONS]
"""No manager takes part."""
INJECTOR = observing.writer_of(catalogue.SERVICE_FAULTS, INJECTOR_WRITER)


class System:
    """An injector and an observer, and a frontend that the injector first sees during a fault of the cart.

    Args:
        silent_from_s: since when it had not called the cart, when it does so while the fault is in force.
    """

    def __init__(self, silent_from_s: int) -> None:
        self._silent_us = range(instant_us(silent_from_s), instant_us(CALLED_S))
        clock, broker = ManualClock(instant_us(0)), MemoryBroker()
        self.injected = injecting.World(clock=clock, broker=broker)
        self.observed = observing.World(clock=clock, broker=broker)
        self.observed.record_run(INJECTOR)
        self.injector = injecting.Running(self.injected)
        self.observer = observing.Running(self.observed, EffectObserver("run-1"))
        delay = Change(from_s=ASKED_S, until_s=ASKED_S + 10, delay_ms=300)
        self._batches = Simulation(seconds=SECONDS, seed=7, changes=[delay]).batches()

    def run(self) -> None:
        """Second by second, until all telemetry has come and was judged."""
        for second, (watermark_us, batches) in enumerate(self._batches):
            if second == ASKED_S:
                self.injector.ask(injecting.request(requested_at_us=self.injected.clock()))
            if second < ASKED_S:
                self.injected.clock.advance(S)
                self.injector.tick()
            else:
                self.injector.pass_s(1)
            for batch in batches:
                if isinstance(batch, MetricBatch):
                    self.observed.send(catalogue.TELEMETRY_METRICS, encode(batch), promise_us=watermark_us)
                elif not self._is_left_out(batch):
                    self.observed.send(catalogue.TELEMETRY_TRACES, encode(batch), promise_us=watermark_us)
            if second == CALLED_S:
                self.injected.put("service-graph", encode(_graph(watermark_us)))
            self.observed.promise(watermark_us)
            self.observer.pass_s(0)

    def effects(self, service: str) -> list[FaultEffect]:
        """What was published of a service, the newest last."""
        found = [each for each in self.observed.effects() if isinstance(each, FaultEffect)]
        return [each for each in found if each.service == service]

    def windows(self, service: str) -> dict[int, ClosedWindow]:
        """The last revisions of a service's windows, by their start in seconds."""
        windower = Windower(WindowPolicy())
        windower.open_run("run-1", (*map(observing.writer_of, WRITTEN), INJECTOR))
        for topic in WRITTEN:
            # Of both partitions, as if there were one.
            for message in sorted(self.observed.messages(topic), key=_promised_us):
                process_message(windower, topic, message.value, message.headers)
        closed = [each for each in windower.close() if each.service == service]
        return {(each.start_us - instant_us(0)) // S: each for each in closed}

    def _is_left_out(self, batch: SpanBatch) -> bool:
        """Whether it holds calls to the cart from while there were none."""
        is_call = batch.service == FRONT and batch.kind[0] == CLIENT_SPAN
        return is_call and int.from_bytes(batch.start_us[:8], "little") in self._silent_us


def test_a_rare_caller_first_seen_during_a_fault_is_exposed_looked_at_and_affected() -> None:
    system = System(silent_from_s=120)
    system.run()
    exposed = system.injected.faults(FRONT)
    assert exposed[0].applied_at_us is not None, "it was in force before the call"
    assert {(each.role, each.relation, each.hops) for each in exposed} == {("exposed", "caller", 1)}
    effect = system.effects(FRONT)[-1]
    assert (effect.finding, effect.is_final, effect.root_service) == ("visible", True, ROOT)
    window = system.windows(FRONT)[ASKED_S + 6]
    (label,) = window.truth.labels
    assert (label.role, label.finding, window.truth.truth) == ("affected", "visible", "anomalous")


def test_of_a_caller_that_never_called_before_a_fault_nothing_can_be_said() -> None:
    system = System(silent_from_s=0)
    system.run()
    assert {(each.role, each.relation) for each in system.injected.faults(FRONT)} == {("exposed", "caller")}
    effect = system.effects(FRONT)[-1]
    assert (effect.finding, effect.is_final) == ("inconclusive", True)
    assert "too little telemetry of this service without faults" in effect.evidence
    windows = system.windows(FRONT)
    window = windows[ASKED_S + 6]
    (label,) = window.truth.labels
    assert (label.role, label.finding, window.truth.truth) == ("exposed", "inconclusive", "masked")
    assert windows[ASKED_S - 9].truth.truth == "normal"


def _promised_us(message: Message) -> int:
    return Stamp.read(message.headers).watermark_us


def _graph(end_us: int) -> ServiceGraph:
    return ServiceGraph(
        run_id="run-1",
        start_us=end_us - S,
        end_us=end_us,
        callers=(FRONT,),
        callees=(ROOT,),
        calls=(20,),
        errors=(0,),
    )
