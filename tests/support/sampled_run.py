"""The recorded run that is shipped, on a broker as two runs: one to learn from, one to be judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from microservo.adapters.broker import Broker
from microservo.algorithms.sample import Effect, Sample
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from schemas.catalogue import FEATURE_WINDOWS, topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import (
    Experiment,
    FaultEffect,
    FaultVerdict,
    FeatureWindow,
    LabelledWindow,
    ServiceFault,
)

LEARNED, JUDGED = "run-learned", "run-judged"


def split(sample: Sample) -> dict[str, list[str]]:
    """The faults of each run: the earlier one of each kind is learned from."""
    by_start = sorted(sample.effects, key=lambda each: (each.start_us, each.fault_id))
    kinds: dict[str, list[str]] = {}
    for effect in by_start:
        known = kinds.setdefault(effect.kind, [])
        if effect.fault_id not in known:
            known.append(effect.fault_id)
    return {
        LEARNED: [ids[0] for ids in kinds.values()],
        JUDGED: [fault_id for ids in kinds.values() for fault_id in ids[1:]],
    }


def write_runs(broker: Broker, prefix: str) -> None:
    """Writes both: all windows, and the truth of the faults that are the run's."""
    broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=2))
    sample = Sample.read()
    for run_id, fault_ids in split(sample).items():
        effects = [each for each in sample.effects if each.fault_id in fault_ids]
        write_run(broker, _run(sample, run_id), process="system", clock=lambda: 1, topic_prefix=prefix)
        with broker.producer() as producer:
            for number, record in enumerate(_records(sample, run_id, effects)):
                if isinstance(record, FeatureWindow):
                    topic = FEATURE_WINDOWS
                else:
                    topic = topic_of(record_name(type(record))).name
                producer.send(
                    prefix + topic,
                    key=record.service.encode(),
                    value=encode(record),
                    headers=(("run", run_id.encode()),),
                    partition=0,
                )
                if number % 1000 == 0:
                    producer.flush(60)
            producer.flush(60)


def _run(sample: Sample, run_id: str) -> Experiment:
    return Experiment(
        run_id=run_id,
        status="finished",
        seed=1,
        target="online-boutique",
        started_at_us=sample.windows[0].start_us,
        window_us=sample.window_us,
        first_cut_us=sample.first_cut_us,
        final_cut_us=sample.first_cut_us,
        start_offsets={},
        end_offsets={},
        versions={},
        finished_at_us=sample.windows[-1].end_us,
        fault_free_until_us=sample.fault_free_until_us,
    )


def _records(
    sample: Sample, run_id: str, effects: Sequence[Effect]
) -> Iterator[FeatureWindow | LabelledWindow | ServiceFault | FaultEffect | FaultVerdict]:
    for window in sample.windows:
        yield replace(window, run_id=run_id)
    for (service, start_us), truth in sample.truth.items():
        yield LabelledWindow(
            run_id=run_id,
            service=service,
            start_us=start_us,
            end_us=start_us + sample.window_us,
            revision=0,
            names=(),
            values=(),
            labels=(),
            truth=truth,
        )
    for effect in effects:
        yield from _of_fault(run_id, effect)


def _of_fault(run_id: str, effect: Effect) -> Iterator[ServiceFault | FaultEffect | FaultVerdict]:
    yield ServiceFault(
        run_id=run_id,
        fault_id=effect.fault_id,
        version=1,
        kind=effect.kind,
        service=effect.root_service,
        root_service=effect.root_service,
        role="root_cause",
        hops=0,
        severity=effect.severity,
        requested_at_us=effect.applied_us,
        relation="root",
        applied_at_us=effect.applied_us,
        recovered_at_us=effect.end_us,
    )
    yield FaultEffect(
        run_id=run_id,
        fault_id=effect.fault_id,
        service=effect.service,
        version=1,
        root_service=effect.root_service,
        relation="root" if effect.service == effect.root_service else "caller",
        finding="visible",
        starts_us=(effect.start_us,),
        ends_us=(effect.end_us,),
        is_open=False,
        through_us=effect.end_us,
        is_final=True,
    )
    yield FaultVerdict(
        run_id=run_id,
        fault_id=effect.fault_id,
        service=effect.service,
        version=1,
        verdict="confirmed",
        is_final=True,
        evidence="",
    )
