"""The injector as a whole: its parts put together, and one beat of its life."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from microservo.domain.faults.lifecycle import AffectedService, FaultStory
from microservo.domain.graph import CallGraph, affected_services
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import Platform
from microservo.runtime.metrics import FAULTS_ACTIVE
from schemas.records import FaultRequest, FeatureWindow, ServiceGraph
from services.fault_injector.actions import Workers
from services.fault_injector.carrier import Carrier
from services.fault_injector.casebook import Casebook
from services.fault_injector.journal import Journal
from services.fault_injector.open_fault import OpenFault
from services.fault_injector.reception import Reception
from services.fault_injector.resumption import Resumption
from services.fault_injector.strangers import Strangers
from services.fault_injector.verdicts import Verdicts

CHECK_INTERVAL_US = 1_000_000
SHUT_DOWN = "injector shut down"


class Injector:
    """The faults of one target; belongs to one thread and never waits for the target.

    Args:
        target: asked anew each time.
        mechanisms: those that the target has.
        workers: carry out the actions.
        clock: epoch microseconds UTC.
        run_id: of what is accepted from now on.
        outside: callers that are never labelled as affected.
    """

    def __init__(
        self,
        *,
        casebook: Casebook,
        journal: Journal,
        target: Platform,
        mechanisms: Collection[str],
        workers: Workers,
        clock: Callable[[], int],
        run_id: str,
        outside: Collection[str],
    ) -> None:
        self._casebook = casebook
        self._journal = journal
        self._target = target
        self._workers = workers
        self._clock = clock
        self._outside = outside
        self._graph = CallGraph()
        self._verdicts = Verdicts(casebook)
        self._carrier = Carrier(
            casebook=casebook,
            workers=workers,
            verdicts=self._verdicts,
            affected=self._affected,
            clock=clock,
        )
        self._reception = Reception(
            casebook=casebook,
            carrier=self._carrier,
            target=target,
            clock=clock,
            run_id=run_id,
        )
        self._strangers = Strangers(target=target, mechanisms=mechanisms, workers=workers, clock=clock)
        self._checked_at_us = 0

    @property
    def is_at_rest(self) -> bool:
        """Whether every fault is over."""
        return self._casebook.is_at_rest

    def resume(
        self,
        stories: Mapping[str, FaultStory],
        requests: Mapping[str, FaultRequest],
        faults: Sequence[OpenFault],
    ) -> None:
        """Takes up what an earlier process left: its stories, and those faults that are not finished."""
        self._casebook.stories.update(stories)
        self._casebook.requests.update(requests)
        resumption = Resumption(
            casebook=self._casebook, carrier=self._carrier, verdicts=self._verdicts, clock=self._clock
        )
        for fault in faults:
            resumption.take_up(fault)
        self._strangers.release()

    def request(self, request: FaultRequest) -> None:
        """Takes in a request: accepts it, refuses it with an event, or knows it already."""
        self._reception.take(request)

    def observe_graph(self, graph: ServiceGraph) -> None:
        """Takes in who called whom."""
        self._graph.observe(graph)

    def observe_window(self, window: FeatureWindow) -> None:
        """Takes in what the telemetry looked like."""
        self._verdicts.read(window)

    def tick(self) -> None:
        """Does what is due; call it often.

        Raises:
            Retryable: the broker is busy; nothing is lost, and no fault is applied until it takes the events.
        """
        for outcome in self._workers.outcomes():
            taker = self._strangers if outcome.action.verb == "release" else self._carrier
            taker.take(outcome)
        self._carrier.do_due()
        self._strangers.do_due()
        now_us = self._clock()
        self._verdicts.tell(now_us)
        if now_us >= self._checked_at_us + CHECK_INTERVAL_US:
            self._checked_at_us = now_us
            self._check_active()
        self.settle()

    def settle(self) -> None:
        """Makes durable what was told; only then faults are applied. Raises as `tick`."""
        self._journal.pump()
        self._carrier.launch()

    def shut_down(self) -> None:
        """Begins to end every fault; `is_at_rest` tells when that is done."""
        for fault in list(self._casebook.open.values()):
            if not fault.story.is_over:
                self._carrier.end(fault, SHUT_DOWN)

    def _check_active(self) -> None:
        active: dict[str, int] = {}
        for fault in self._casebook.open.values():
            for instance in fault.active_instances():
                active[fault.fault.kind] = active.get(fault.fault.kind, 0) + 1
                if not fault.fault.one_shot:
                    self._carrier.check(fault, instance)
        FAULTS_ACTIVE.clear()
        for kind, number in active.items():
            FAULTS_ACTIVE.labels(kind).set(number)

    def _affected(self, service: str) -> tuple[AffectedService, ...]:
        try:
            on_paper = tuple(self._target.edges())
        except (Unavailable, InvalidInput):
            on_paper = ()
        return affected_services(self._graph.edges(on_paper), service, self._outside)
