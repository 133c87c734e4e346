"""The process around `decide`: reads what happens, has it decided, carries out what comes of it."""

from __future__ import annotations

import heapq
import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from microservo.domain.faults.decider import InjectorState, decide
from microservo.domain.faults.decider.actions import (
    Action,
    Apply,
    Check,
    Count,
    Forget,
    Publish,
    Recover,
    Release,
    Schedule,
    Warn,
)
from microservo.domain.faults.decider.events import (
    Event,
    GraphSeen,
    InstanceChanged,
    Judged,
    KnownFault,
    RequestReceived,
    Restarted,
    ShutDown,
    TargetGone,
    TargetSeen,
    TargetView,
    TimerDue,
)
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import InstanceChange, Platform, kinds_here, labels_of, services_of
from microservo.runtime.metrics import FAULTS_ACTIVE
from schemas.records import FaultRequest, FaultVerdict, ServiceGraph
from services.fault_injector.performing import Performer, Workers
from services.fault_injector.publishing import FaultPublisher

logger = logging.getLogger(__name__)


class Injector:
    """The faults of one target; belongs to one thread and never waits for the target.

    Args:
        state: to begin with.
        platform: where the target is.
        publisher: writes down what happened.
        workers: makes, of who performs actions, what performs them without being waited for.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        state: InjectorState,
        platform: Platform,
        publisher: FaultPublisher,
        workers: Callable[[Performer], Workers],
        clock: Callable[[], int],
    ) -> None:
        self._state = state
        self._platform = platform
        self._publisher = publisher
        self._clock = clock
        # Workers ask from their threads; the state is a value that is replaced in one step.
        self._workers = workers(Performer(platform, clock, self._owned))
        self._changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
        self._to_apply: list[Apply] = []
        self._due: list[tuple[int, int, Schedule | Release]] = []
        self._scheduled = count()

    @property
    def is_at_rest(self) -> bool:
        """Whether every fault is over."""
        return self._state.is_at_rest

    @property
    def run_from_us(self) -> int:
        """When the run began, epoch microseconds UTC; 0 if nobody recorded it."""
        return self._state.run_from_us

    @property
    def left_by_others(self) -> Mapping[str, str]:
        """Faults that a platform declared and that have no end, with what their parameter `object` says."""
        statuses = (fault.status for fault in self._state.open.values())
        return {
            each.whole.fault_id: each.whole.parameters["object"]
            for each in statuses
            if each.is_declared and not each.is_over and "object" in each.whole.parameters
        }

    def observed_since_us(self, look_back_us: int) -> int:
        """From when on graphs and verdicts are to be read.

        That long before now, so that the graph is known; longer, if a fault waits for its verdict since.
        """
        since_us = self._clock() - look_back_us
        for fault in self._state.open.values():
            since_us = min(since_us, fault.status.times()["applied_at_us"] or since_us)
        return max(0, since_us)

    def resume(self, known: Sequence[KnownFault]) -> None:
        """Goes on with what an earlier process left."""
        self._handle(Restarted(now_us=self._clock(), faults=tuple(known)))
        self.refresh_target()

    def refresh_target(self) -> None:
        """Reads what the target is like now."""
        seen = self._target()
        known = self._state.problem if self._state.target is None else self._state.target
        if seen == known:
            return
        if isinstance(seen, TargetView):
            self._handle(TargetSeen(now_us=self._clock(), target=seen))
        else:
            self._handle(TargetGone(now_us=self._clock(), problem=seen))

    def request(self, request: FaultRequest) -> bool:
        """Accepts a request, refuses it with an event, or knows it already; whether its fault is accepted."""
        self._handle(RequestReceived(now_us=self._clock(), request=request))
        status = self._state.status(request.fault_id)
        return status is not None and status.is_accepted

    def knows(self, request: FaultRequest) -> bool:
        """Whether a declaration, or one of an end, has been processed already."""
        status = self._state.status(request.fault_id)
        if status is None or not status.is_accepted:
            return False
        return request.action == "declare" or status.is_over

    def observe_graph(self, graph: ServiceGraph) -> None:
        """Processes a graph of who called whom."""
        self._handle(GraphSeen(now_us=self._clock(), graph=graph))

    def observe_verdict(self, verdict: FaultVerdict) -> None:
        """Processes what the effect observer says of a fault."""
        self._handle(Judged(now_us=self._clock(), verdict=verdict))

    def instance_changed(self, change: InstanceChange) -> None:
        """Is processed in the next round; any thread may call it."""
        self._changes.put(change)

    def tick(self) -> None:
        """One round: all that has happened, all that is due; call it often.

        Raises:
            Retryable: the broker is busy; nothing is lost, and no fault is applied until it has the events.
        """
        self._handle_changes()
        for event in self._workers.events():
            self._handle(event)
        self._do_due()
        self._measure()
        self.flush()

    def flush(self) -> None:
        """Makes durable what was published; only then faults are applied. Raises as `tick`."""
        self._publisher.make_durable()
        for action in self._to_apply:
            self._workers.submit(action)
        self._to_apply.clear()
        self._publisher.store()

    def shut_down(self) -> None:
        """Begins to end every fault; `is_at_rest` says when that is done."""
        self._handle(ShutDown(now_us=self._clock()))

    def _owned(self, instance: str) -> Mapping[str, str]:
        return self._state.owned(instance)

    def _handle(self, event: Event) -> None:
        self._state, actions = decide(self._state, event)
        for action in actions:
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Publish():
                self._publisher.publish(action)
            case Apply():
                self._to_apply.append(action)
            case Recover() | Check() | Count():
                self._workers.submit(action)
            case Schedule() | Release():
                heapq.heappush(self._due, (action.at_us, next(self._scheduled), action))
            case Forget():
                self._publisher.forget(action.fault_id)
            case Warn():
                logger.warning("%s", action.text)

    def _handle_changes(self) -> None:
        if self._changes.empty():
            return
        self.refresh_target()
        while not self._changes.empty():
            change = self._changes.get()
            self._handle(
                InstanceChanged(now_us=self._clock(), instance=change.instance.id, is_up=change.state == "up")
            )

    def _do_due(self) -> None:
        now_us = self._clock()
        while self._due and self._due[0][0] <= now_us:
            _, _, action = heapq.heappop(self._due)
            if isinstance(action, Release):
                self._workers.submit(action)
            else:
                self._handle(TimerDue(now_us=now_us, timer=action.timer))

    def _target(self) -> TargetView | str:
        try:
            instances = self._platform.instances()
            edges = frozenset(self._platform.edges())
        except (Unavailable, InvalidInput) as error:
            return str(error)
        return TargetView(
            services={name: tuple(ids) for name, ids in services_of(self._platform).items()},
            edges=edges,
            kinds=kinds_here(self._platform),
            down=frozenset(instance.id for instance in instances if not instance.is_up),
            hosts={instance.id: instance.host for instance in instances if instance.host},
            labels=labels_of(instances),
        )

    def _measure(self) -> None:
        FAULTS_ACTIVE.clear()
        for kind, number in _active(self._state).items():
            FAULTS_ACTIVE.labels(kind).set(number)


def _active(state: InjectorState) -> Mapping[str, int]:
    """How many instances each kind of fault is confirmed to be in force on."""
    found: dict[str, int] = {}
    for fault in state.open.values():
        if fault.fault is None:
            continue
        active = sum(event.state == "active" for event in fault.status.instances.values())
        if active:
            found[fault.fault.kind] = found.get(fault.fault.kind, 0) + active
    return found
