"""The faults of a recording on the topics: declared as people declare them, with effects that are measured.

Everything has the event time of the recording, and is the same when it is published again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby

from microservo.adapters.broker import Broker, Producer
from microservo.datasets.imports.importer import ForeignFault
from microservo.domain.effects import EffectObserver, EffectPolicy
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.decider import InjectorState, decide
from microservo.domain.faults.decider.actions import Publish
from microservo.domain.faults.decider.events import Event, GraphSeen, Judged, RequestReceived
from microservo.domain.faults.decider.snapshot import snapshot
from microservo.domain.graph import Edge
from microservo.domain.telemetry import Batch
from microservo.log.publisher import Publisher, source_of
from microservo.log.run_facts import records_of_run
from microservo.log.stamped import StampedWriter
from microservo.log.writers import INJECTOR_WRITER, OBSERVER_WRITER, TELEMETRY
from microservo.retry import retry
from schemas.catalogue import FAULT_EFFECTS, SERVICE_FAULTS
from schemas.records import FaultRequest, FaultSnapshot, FaultVerdict, ServiceFault, ServiceGraph

_PROCESS = "client"
NO_END = "the recording does not say when it ended"
_FLUSH_S = 60.0
_READ_S = 300.0
_BEYOND_US = 300_000_000
"""How long after the recording its faults are looked at: by then all that can be said was said."""
_KIND = re.compile(r"[^a-z0-9-]+")


class ImportedFaults:
    """Writes the faults and effects of one run; belongs to one thread.

    Args:
        broker: where the run is.
        topic_prefix: put before every topic name.
        run_id: the run, with both writers in its record.
        from_us: when it begins, microseconds UTC.
        until_us: when it ends.

    Raises:
        InvalidInput: the writers have left the run: all was published before.
    """

    def __init__(
        self, broker: Broker, topic_prefix: str, run_id: str, *, from_us: int, until_us: int
    ) -> None:
        self._broker, self._prefix, self._run_id = broker, topic_prefix, run_id
        self._until_us = until_us
        self._at_us = self._from_us = from_us
        self._state = InjectorState(run_id=run_id, run_from_us=from_us)
        self._snapshots: dict[str, FaultSnapshot] = {}
        self._faults: list[ServiceFault] = []
        self._producer: Producer = broker.producer()
        self._injector = self._writer(SERVICE_FAULTS, INJECTOR_WRITER)
        self._observer = self._writer(FAULT_EFFECTS, OBSERVER_WRITER)
        self._to_faults = self._publisher({SERVICE_FAULTS: self._injector})
        self._to_effects = self._publisher({FAULT_EFFECTS: self._observer})

    def declare(self, faults: Iterable[ForeignFault], edges: Iterable[Edge], *, said_by: str) -> None:
        """Publishes all faults, in order of time, and promises that there are no others.

        Args:
            faults: those of the recording.
            edges: who calls whom in it.
            said_by: whose labels they are.
        """
        self._decide(GraphSeen(now_us=self._from_us, graph=self._graph(sorted(edges))))
        requests = [each for fault in together(faults) for each in _requests(fault, self._run_id, said_by)]
        for at_us, request in sorted(requests, key=lambda each: each[0]):
            self._at_us = max(self._from_us, at_us)
            self._decide(RequestReceived(now_us=self._at_us, request=request))
        self._at_us = self._until_us + _BEYOND_US
        self._injector.heartbeat()
        self._injector.flush(_FLUSH_S)
        self._to_faults.flush(_FLUSH_S)

    def measure(self, progress: Callable[[float, float], None]) -> None:
        """Measures what the faults did to the telemetry that is on the topics by now, and publishes it.

        Raises:
            Retryable: the broker does not answer for minutes.
        """
        # An election of a leader in between must not cost all that was imported.
        observer = retry(self._with_telemetry, timeout_s=_READ_S)
        for fault in self._faults:
            observer.fault(fault)
        end_us, step_us = self._until_us + _BEYOND_US, EffectPolicy().report_us
        for at_us in range(self._from_us, end_us + step_us, step_us):
            self._at_us = at_us
            for record in observer.advance(at_us):
                self._to_effects.publish(record)
                if isinstance(record, FaultVerdict):
                    self._decide(Judged(now_us=at_us, verdict=record))
            progress(at_us - self._from_us, end_us - self._from_us)
        self._observer.heartbeat()
        self._to_effects.flush(_FLUSH_S)

    def _with_telemetry(self) -> EffectObserver:
        observer = EffectObserver(self._run_id)
        for topic in TELEMETRY:
            for record in records_of_run(self._broker, self._prefix, self._run_id, topic):
                if isinstance(record, Batch):
                    observer.telemetry(record)
        return observer

    def end(self) -> None:
        """Writes what is left open, and leaves the run."""
        self._at_us = self._until_us
        for fault in self._state.open.values():
            status = fault.status
            for instance, event in sorted(status.parts.items()):
                if event.state == "active":
                    status = status.advance(instance, "stopped", self._until_us, reason=NO_END)
                    self._to_faults.publish(status.latest[instance])
            self._snapshots[fault.id] = snapshot(replace(fault, status=status))
        for each in self._snapshots.values():
            self._to_faults.publish(each)
        self._to_faults.flush(_FLUSH_S)
        self._injector.leave()
        self._observer.leave()

    def close(self) -> None:
        """Closes the producers."""
        self._injector.close()
        self._observer.close()
        self._producer.close()

    def _decide(self, event: Event) -> None:
        self._state, actions = decide(self._state, event)
        for action in actions:
            if isinstance(action, Publish):
                self._faults += action.service_faults
                for record in (*action.service_faults, *action.events):
                    self._to_faults.publish(record)
                self._snapshots[action.snapshot.fault_id] = action.snapshot

    def _graph(self, edges: list[Edge]) -> ServiceGraph:
        return ServiceGraph(
            run_id=self._run_id,
            start_us=self._from_us,
            end_us=self._until_us,
            callers=tuple(caller for caller, _ in edges),
            callees=tuple(callee for _, callee in edges),
            calls=(1,) * len(edges),
            errors=(0,) * len(edges),
        )

    def _writer(self, topic: str, writer: str) -> StampedWriter:
        return StampedWriter(
            self._broker,
            self._prefix + topic,
            writer=writer,
            run_id=lambda: self._run_id,
            clock=lambda: self._at_us,
            source=source_of(_PROCESS),
            from_us=self._from_us,
        )

    def _publisher(self, writers: dict[str, StampedWriter]) -> Publisher:
        return Publisher(
            self._producer, _PROCESS, prefix=self._prefix, clock=lambda: self._at_us, writers=writers
        )


def kind_of(name: str) -> str:
    """The kind under which a fault is declared: kinds that are injected here keep their names for that.

    Example:
        >>> kind_of("cpu_contention"), kind_of("cpu-hog")
        ('cpu-contention', 'imported-cpu-hog')
    """
    kind = _KIND.sub("-", name.lower()).strip("-")[:48] or "unnamed"
    return f"imported-{kind}" if kind in KINDS else kind


def together(faults: Iterable[ForeignFault]) -> list[tuple[ForeignFault, tuple[str, ...]]]:
    """One fault for labels that differ in the instance alone, and their instances."""

    def key(each: ForeignFault) -> tuple[int, str, str, int]:
        return each.start_us, each.service, each.kind, each.end_us or 0

    groups = [list(each) for _, each in groupby(sorted(faults, key=key), key)]
    return [(own[0], tuple(each.instance for each in own if each.instance)) for own in groups]


def _requests(
    labelled: tuple[ForeignFault, tuple[str, ...]], run_id: str, said_by: str
) -> Iterable[tuple[int, FaultRequest]]:
    """What declares a fault and its end, each at its instant."""
    fault, instances = labelled
    kind = kind_of(fault.kind)
    # Of the run, so that the same recording may be imported again.
    service = _KIND.sub("-", fault.service.lower())[:16]
    fault_id = f"{run_id[-16:]}-{service}-{fault.start_us // 1000}-{kind}"[:64].strip("-")
    declared = FaultRequest(
        fault_id=fault_id,
        action="declare",
        kind=kind,
        service=fault.service,
        instances=instances,
        requested_at_us=fault.start_us,
        start_at_us=fault.start_us,
        within_us=fault.within_us,
        requested_by=said_by,
    )
    yield fault.start_us, declared
    if fault.end_us is not None:
        yield (
            fault.end_us,
            FaultRequest(
                fault_id=fault_id,
                action="stop",
                requested_at_us=fault.end_us,
                end_at_us=fault.end_us,
                within_us=fault.within_us,
                requested_by=said_by,
            ),
        )
