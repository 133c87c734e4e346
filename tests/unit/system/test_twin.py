from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from microservo.errors import InvalidInput
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.system.twin import compare_runs, load_s
from microservo.testing import MemoryBroker
from schemas.catalogue import FAULT_EFFECTS, TELEMETRY_TRACES
from schemas.codec import encode
from schemas.records import Experiment, FaultEffect, FaultEvent, SpanBatch

BEGIN_US = 1_700_000_000_000_000
S = 1_000_000
PREFIX = "t-"
APPLIED_US, RECOVERED_US = BEGIN_US + 100 * S, BEGIN_US + 110 * S
FAULT = FaultEvent(
    run_id="run-1",
    fault_id="f-1",
    version=5,
    kind="http-abort",
    service="cart",
    instance="cart-0",
    state="recovered",
    at_us=RECOVERED_US,
    requested_at_us=APPLIED_US,
    duration_us=10 * S,
    parameters={},
    applied_at_us=APPLIED_US,
    recovered_at_us=RECOVERED_US,
)
EFFECT = FaultEffect(
    run_id="run-1",
    fault_id="f-1",
    service="cart",
    version=2,
    root_service="cart",
    relation="root",
    finding="visible",
    starts_us=(APPLIED_US + 70_000,),
    ends_us=(RECOVERED_US,),
    is_open=False,
    through_us=RECOVERED_US + S,
    is_final=True,
)


@pytest.fixture
def broker() -> MemoryBroker:
    """Two runs of the same load, one of them with a fault."""
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix=PREFIX, partitions=2))
    for run_id in ("run-1", "run-2", "run-3"):
        write_run(broker, experiment(run_id), process="system", clock=lambda: BEGIN_US, topic_prefix=PREFIX)
    failed = range(1000, 1100)
    with broker.producer() as producer:
        for batch in (requests("run-1", failed, 0), requests("run-2", (), 3600 * S)):
            producer.send(PREFIX + TELEMETRY_TRACES, key=b"cart", value=encode(batch))
        producer.send(PREFIX + TELEMETRY_TRACES, key=b"cart", value=b"rubbish")
        earlier = replace(EFFECT, version=1, finding="not_visible", starts_us=(), ends_us=())
        caller = replace(earlier, service="front", relation="caller")
        for effect in (EFFECT, earlier, caller, replace(EFFECT, run_id="run-2", version=9)):
            producer.send(PREFIX + FAULT_EFFECTS, key=b"cart", value=encode(effect))
        producer.flush(10)
    return broker


def requests(run_id: str, failed: Sequence[int], later_us: int) -> SpanBatch:
    """Ten a second for 200 seconds."""
    numbers = range(2000)
    return SpanBatch(
        run_id=run_id,
        service="cart",
        instances=("cart-0",),
        endpoints=("Get",),
        peers=("",),
        start_us=np.array([BEGIN_US + later_us + each * 100_000 for each in numbers], np.int64).tobytes(),
        duration_us=np.array([5_000 + each % 7 for each in numbers], np.int64).tobytes(),
        instance=bytes(2 * len(numbers)),
        endpoint=bytes(2 * len(numbers)),
        peer=bytes(2 * len(numbers)),
        kind=bytes([2]) * len(numbers),
        error=bytes(each in failed for each in numbers),
        trace_id=b"".join(each.to_bytes(16) for each in numbers),
        span_id=b"".join((each + 1).to_bytes(8) for each in numbers),
        parent_id=bytes(8 * len(numbers)),
    )


def experiment(run_id: str) -> Experiment:
    return Experiment(
        run_id=run_id,
        status="finished",
        seed=7,
        target="shop",
        started_at_us=BEGIN_US,
        window_us=5 * S,
        first_cut_us=2 * S,
        final_cut_us=30 * S,
        start_offsets={},
        end_offsets={},
        versions={},
    )


def test_every_service_that_a_fault_may_reach_stands_beside_what_was_seen_of_it(broker: MemoryBroker) -> None:
    cart, front = compare_runs(broker, PREFIX, "run-1", "run-2", [FAULT])
    assert (cart.effect.service, cart.effect.root_service) == ("cart", "cart")
    assert cart.effect.first_us == APPLIED_US + 5_000 + 1000 % 7
    assert cart.effect_seen_at_us == APPLIED_US + 70_000
    assert (front.effect.service, front.effect.first_us, front.effect_seen_at_us) == ("front", None, None)


def test_a_fault_that_was_never_in_force_is_compared_with_nothing(broker: MemoryBroker) -> None:
    rejected = replace(FAULT, fault_id="f-2", state="rejected", applied_at_us=None, recovered_at_us=None)
    rows = compare_runs(broker, PREFIX, "run-1", "run-2", [FAULT, rejected])
    assert {row.effect.fault_id for row in rows} == {"f-1"}


def test_a_run_that_sent_nothing_has_no_twin(broker: MemoryBroker) -> None:
    with pytest.raises(InvalidInput, match="without spans"):
        compare_runs(broker, PREFIX, "run-1", "run-3", [FAULT])


def test_a_foreign_span_that_began_days_ago_makes_no_twin_last_for_days(broker: MemoryBroker) -> None:
    load = replace(requests("run-1", (), 0), service="loadgen")
    with broker.producer() as producer:
        for batch in (load, requests("run-1", (), -86_400 * S)):
            producer.send(PREFIX + TELEMETRY_TRACES, key=b"cart", value=encode(batch))
        producer.flush(10)
    # Five seconds after recovery a fault shows no more.
    assert load_s(broker, PREFIX, "run-1", [FAULT]) == 115
