"""The twin of a run: the same seeded load without faults, and what the comparison says of each fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from microservo.adapters.broker import Broker
from microservo.application.progress import Progress
from microservo.domain.effects.fault import contract_of
from microservo.domain.graph import OUTSIDE
from microservo.domain.twin import AFTER_US, InForce, TwinEffect, TwinRow, compare
from microservo.log.run_facts import newest_effects, records_of_run
from microservo.system.count_down import count_down
from microservo.system.embedded import EmbeddedSystem
from schemas.catalogue import TELEMETRY_METRICS, TELEMETRY_TRACES
from schemas.records import FaultEffect, FaultEvent, MetricBatch, SpanBatch

_SHIP_S = 5.0
"""How long the last spans of a twin may take to the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinResult:
    """The twin's run, and what each fault changed beside it."""

    run_id: str
    rows: tuple[TwinRow, ...]


class Twin:
    """Runs the twin of a run on the run's broker, after it; each has the machine to itself.

    Args:
        system: of the run that is over; its broker still runs.
        progress: shows every stage.
    """

    def __init__(self, system: EmbeddedSystem, progress: Progress) -> None:
        self._run = system
        self._progress = progress
        self.system = EmbeddedSystem(
            replace(
                system.options,
                name=f"{system.options.name}-twin",
                bootstrap_servers=system.file.bootstrap_servers,
                otlp_port=0,
            ),
            progress,
        )

    def run(self, faults: Sequence[FaultEvent]) -> TwinResult:
        """Runs the twin past the end of the last fault, and compares.

        Args:
            faults: the newest events of the run's faults.

        Raises:
            InvalidInput: one of the runs left no spans.
            Unavailable: a part of the twin did not get ready.
        """
        broker, prefix = self._run.broker, self._run.options.topic_prefix
        with self.system:
            self.system.start()
            duration_s = load_s(broker, prefix, self._run.run_id, faults) + _SHIP_S
            count_down(self._progress, "twin: the same load without faults", duration_s)
            self.system.finish_run()
        with self._progress.stage("comparison with the twin") as stage:
            rows = compare_runs(broker, prefix, self._run.run_id, self.system.run_id, faults)
            shown = sum(row.effect.first_us is not None for row in rows)
            stage.show(f"faults show on {shown} services in all, of {len(rows)}")
        return TwinResult(run_id=self.system.run_id, rows=rows)


def compare_runs(
    broker: Broker, topic_prefix: str, run_id: str, twin_run_id: str, faults: Sequence[FaultEvent]
) -> tuple[TwinRow, ...]:
    """What each fault of a run changed on each service that it may reach, beside what the observer saw.

    Args:
        broker: where both runs lie.
        topic_prefix: put before every topic name.
        run_id: of the run with the faults.
        twin_run_id: of its twin.
        faults: the newest events of the run's faults; those that were never in force are left out.

    Raises:
        InvalidInput: there is no such run, or one of the two has no spans.
    """
    found = newest_effects(broker, topic_prefix, run_id)
    run, twin = (_telemetry(broker, topic_prefix, each) for each in (run_id, twin_run_id))
    return tuple(
        _row(effect, found.get((effect.fault_id, effect.service)))
        for effect in compare(run, twin, list(_in_force(faults, found)))
    )


def keep_twin(dataset: Path, result: TwinResult) -> None:
    """Puts the comparison into the dataset of the run, as twin.parquet.

    Raises:
        InvalidInput: the folder holds no dataset.
        Unavailable: it can't be written to.
    """
    # It loads pyarrow, which takes a while, and most who talk to a system never need it.
    from microservo.datasets.twin import add_twin  # noqa: PLC0415

    add_twin(dataset, result.run_id, result.rows)


def load_s(broker: Broker, topic_prefix: str, run_id: str, faults: Sequence[FaultEvent]) -> float:
    """How long the load of a run had gone on when the last fault could no longer show: seconds.

    Args:
        broker: where the run lies.
        topic_prefix: put before every topic name.
        run_id: of the run.
        faults: of the run.
    """
    spans = records_of_run(broker, topic_prefix, run_id, TELEMETRY_TRACES)
    # Whoever else sends telemetry meanwhile may send a span that began days ago.
    begins_us = [_begin_us(each) for each in spans if isinstance(each, SpanBatch) and each.service in OUTSIDE]
    ends_us = [event.recovered_at_us for event in faults if event.recovered_at_us is not None]
    return (max(ends_us) + AFTER_US - min(begins_us)) / 1e6 if begins_us and ends_us else 0.0


def _telemetry(broker: Broker, topic_prefix: str, run_id: str) -> Iterator[SpanBatch | MetricBatch]:
    """All spans and metrics of a run; what can't be read is on the dead-letter topics."""
    for topic in (TELEMETRY_TRACES, TELEMETRY_METRICS):
        for record in records_of_run(broker, topic_prefix, run_id, topic):
            if isinstance(record, SpanBatch | MetricBatch):
                yield record


def _in_force(
    faults: Iterable[FaultEvent], found: Mapping[tuple[str, str], FaultEffect]
) -> Iterator[InForce]:
    """The faults that were applied and recovered, in the order in which they were applied."""
    events: dict[str, list[FaultEvent]] = {}
    for event in faults:
        events.setdefault(event.fault_id, []).append(event)
    whole = [each for fault_id in events if (each := _when(events[fault_id], found))]
    return iter(sorted(whole, key=lambda fault: fault.applied_us))


def _when(events: Sequence[FaultEvent], found: Mapping[tuple[str, str], FaultEffect]) -> InForce | None:
    applied = [event.applied_at_us for event in events if event.applied_at_us is not None]
    recovered = [event.recovered_at_us for event in events if event.recovered_at_us is not None]
    if not applied or not recovered:
        return None
    commanded = [each.apply_commanded_at_us for each in events if each.apply_commanded_at_us is not None]
    fault = events[0]
    exposed = sorted(service for fault_id, service in found if fault_id == fault.fault_id)
    return InForce(
        fault_id=fault.fault_id,
        kind=fault.kind,
        root_service=fault.service,
        services=(fault.service, *(each for each in exposed if each != fault.service)),
        levels=_levels(fault),
        begun_us=min([*applied, *commanded]),
        applied_us=min(applied),
        recovered_us=max(recovered),
    )


def _levels(fault: FaultEvent) -> frozenset[str]:
    """The metrics of its service that a fault can move."""
    contract = contract_of(fault.kind, fault.parameters, 1.0 if fault.severity is None else fault.severity)
    return frozenset(measure.metric for measure in contract.root if measure.of == "metric")


def _begin_us(batch: SpanBatch) -> int:
    return int(np.frombuffer(batch.start_us, "<i8").min())


def _row(effect: TwinEffect, seen: FaultEffect | None) -> TwinRow:
    if seen is None or seen.finding != "visible" or not seen.starts_us:
        return TwinRow(effect=effect, effect_seen_at_us=None)
    return TwinRow(effect=effect, effect_seen_at_us=seen.starts_us[0], is_shared=bool(seen.shared_with))
