"""The observer on faults that did nothing: several hundred for each shape of contract, at several lengths."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from simulated_telemetry import RUN, Simulation, fault_records, observe

from microservo.domain.effects import EffectObserver, EffectPolicy
from schemas.records import FaultEffect, FaultVerdict, ServiceFault

TRIALS = 300
POLICY = EffectPolicy(kept_us=400_000_000)
"""Less fault-free time than is kept otherwise: it takes less of the suite's time, and makes it no easier."""
LENGTHS_S = (2, 2, 5, 10, 30)
MOST = 3
"""One in a hundred."""
SHAPES = [
    ("http-delay", ({"delay": "1ms"}, {"delay": "20ms"}, {"delay": "400ms"})),
    ("http-abort", ({"ratio": "1%"}, {"ratio": "50%"}, {"ratio": "100%"})),
    ("cpu-hog", ({"workers": "1", "load": "10%"}, {})),
    ("deploy", ({},)),
]


@pytest.mark.parametrize(("kind", "strengths"), SHAPES)
def test_of_faults_that_did_nothing_at_most_one_in_a_hundred_is_confirmed(
    kind: str, strengths: tuple[dict[str, str], ...]
) -> None:
    rng = random.Random(kind)
    records: list[ServiceFault] = []
    now_s = 120.0
    for number, parameters in enumerate(itertools.islice(itertools.cycle(strengths), TRIALS)):
        begin_s = now_s + rng.uniform(6, 12)
        now_s = begin_s + rng.choice(LENGTHS_S)
        fault_id = f"f-{number}"
        records += fault_records(fault_id, kind, begin_s, None, parameters=parameters)
        records += fault_records(fault_id, kind, begin_s, now_s, parameters=parameters)
    run = Simulation(seconds=int(now_s) + 40, seed=len(kind), per_second=8)
    published = [
        record for _, record in observe(run, records, step_s=5, observer=EffectObserver(RUN, policy=POLICY))
    ]
    verdicts = {each.fault_id: each.verdict for each in published if isinstance(each, FaultVerdict)}
    assert len(verdicts) == TRIALS
    assert sum(verdict == "confirmed" for verdict in verdicts.values()) <= MOST
    assert len(set(affected(published))) <= MOST


def affected(published: list[FaultEffect | FaultVerdict]) -> Iterator[str]:
    """Faults with an effect at any service."""
    for record in published:
        if isinstance(record, FaultEffect) and record.finding == "visible":
            yield record.fault_id
