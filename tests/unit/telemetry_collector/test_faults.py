"""Faults on telemetry: what passes through a collector while they are in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from microservo.domain.identity import Identity
from microservo.domain.rows import (
    LEVEL,
    CodedSeries,
    Links,
    LogRows,
    MetricRows,
    PointRows,
    Rows,
    SpanRows,
    coded,
    id_column,
)
from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from microservo.sources.source import Parcel
from microservo.testing import ManualClock
from schemas.records import TelemetryLoss
from services.telemetry_collector.fault_set import FaultSet
from services.telemetry_collector.faults.base import Pushed, chances, signal_of_rows

S = 1_000_000
T0_US = 1_800_000_000 * S
NOW_US = T0_US + 10 * S
NAME = "f-1@cart-0"
TARGET = Identity(is_target=True)
COUNT = 1000


def spans(count: int = COUNT, *, from_us: int = NOW_US, instance: str = "cart-0") -> SpanRows:
    """Spans of 100 ms, a millisecond apart."""
    return SpanRows(
        service="cart",
        instance=instance,
        identity=TARGET,
        start_us=from_us + np.arange(count) * 1000,
        duration_us=np.full(count, 100_000),
        endpoint=coded(["Get"] * count),
        peer=coded([""] * count),
        address=coded([""] * count),
        kind=np.full(count, 2, np.uint8),
        protocol=np.zeros(count, np.uint8),
        error=np.zeros(count, np.uint8),
        trace_id=id_column([number.to_bytes(16, "big") for number in range(1, count + 1)], 16),
        span_id=id_column([number.to_bytes(8, "big") for number in range(1, count + 1)], 8),
        parent_id=id_column([b""] * count, 8),
    )


def lines(count: int = COUNT) -> LogRows:
    return LogRows(
        service="cart",
        instance="cart-0",
        identity=TARGET,
        time_us=NOW_US + np.arange(count) * 1000,
        severity=np.full(count, 9, np.uint8),
        template=coded([f"line {number % 3}" for number in range(count)]),
        trace_id=id_column([b""] * count, 16),
        span_id=id_column([b""] * count, 8),
        line_id=np.arange(count).astype(np.uint64),
        bodies=tuple(f"body {number}" for number in range(count)),
    )


def points(*metrics: str, at_us: int = NOW_US, start_us: int = 0) -> PointRows:
    count = len(metrics)
    return PointRows(
        service="cart",
        instance="cart-0",
        identity=TARGET,
        time_us=np.full(count, at_us),
        start_us=np.full(count, start_us),
        series=CodedSeries(
            metrics=metrics, labels=("",) * count, scopes=("",) * count, codes=np.arange(count)
        ),
        value=np.arange(float(count)),
        temporality=np.full(count, LEVEL, np.uint8),
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_US)


@pytest.fixture
def faults(clock: ManualClock) -> FaultSet:
    return FaultSet("run-1", clock, most_held=10_000)


def passed(faults: FaultSet, *rows: Rows) -> list[Rows]:
    """What goes on now of rows that have come, in order."""
    parcel = faults.pass_on(Parcel(signal="traces", rows=rows))
    return [each for found in (parcel, *faults.let_go()) for each in found.rows]


def starts(rows: Sequence[Rows]) -> list[int]:
    """When spans began, in milliseconds since the faults do."""
    return [at_us // 1000 for each in rows for at_us in (_spans(each).start_us - NOW_US).tolist()]


def _spans(rows: Rows) -> SpanRows:
    assert isinstance(rows, SpanRows)
    return rows


def test_without_faults_nothing_is_looked_at(faults: FaultSet) -> None:
    assert faults.is_idle
    faults.apply(NAME, "telemetry-drop", {"ratio": 1.0, "signals": "all"})
    assert not faults.is_idle


def test_all_that_an_instance_makes_is_lost_and_the_ledgers_minutes_have_the_number(
    faults: FaultSet,
) -> None:
    active = faults.apply(NAME, "telemetry-drop", {"ratio": 1.0, "signals": "all"})
    # T0 is a whole minute; the last 50 of 100 spans end in the next one.
    begin_us = T0_US + 60 * S - 150_000
    assert passed(faults, spans(100, from_us=begin_us)) == []
    assert active.acted == 100
    lost = {(each.source, each.minute_us): each.records for each in faults.drain_losses()}
    assert lost == {
        ("telemetry-traces", T0_US): 50,
        ("telemetry-traces", T0_US + 60 * S): 50,
    }
    assert faults.drain_losses() == []


def test_a_share_is_lost_and_a_record_that_is_sent_again_meets_the_same_fate(faults: FaultSet) -> None:
    faults.apply(NAME, "telemetry-drop", {"ratio": 0.3, "signals": "traces"})
    first, again = starts(passed(faults, spans())), starts(passed(faults, spans()))
    assert first == again
    assert 640 <= len(first) <= 760
    (lost,) = faults.drain_losses()
    expected = TelemetryLoss(
        run_id="run-1",
        service="cart",
        source="telemetry-traces",
        minute_us=T0_US,
        records=2 * (COUNT - len(first)),
    )
    assert lost == expected


def test_what_was_made_before_the_fault_or_after_it_passes_whenever_it_comes(
    faults: FaultSet, clock: ManualClock
) -> None:
    faults.apply(NAME, "telemetry-drop", {"ratio": 1.0, "signals": "all"})
    assert starts(passed(faults, spans(4, from_us=NOW_US - 2000))) == [-2, -1]
    clock.advance(2000)
    assert faults.remove(NAME) is not None
    assert starts(passed(faults, spans(4))) == [2, 3]
    clock.advance(61 * S)
    passed(faults)
    assert faults.is_idle


def test_other_instances_other_signals_strangers_and_what_others_measure_are_left_alone(
    faults: FaultSet,
) -> None:
    faults.apply(NAME, "telemetry-drop", {"ratio": 1.0, "signals": "logs"})
    metered = MetricRows(
        service="cart",
        instance="cart-0",
        identity=TARGET,
        time_us=np.full(1, NOW_US),
        name=coded(["process.cpu.utilization"]),
        value=np.ones(1),
        is_metered=True,
    )
    others: list[Rows] = [
        spans(3),
        points("queue.depth"),
        metered,
        replace(lines(), instance="cart-1"),
        replace(lines(), identity=Identity()),
    ]
    assert passed(faults, *others) == others
    assert passed(faults, lines()) == []


def test_what_is_held_back_goes_on_when_its_time_has_come(faults: FaultSet, clock: ManualClock) -> None:
    active = faults.apply(NAME, "telemetry-delay", {"delay_us": 5 * S, "signals": "all"})
    assert passed(faults, spans(2)) == []
    clock.advance(4 * S)
    assert passed(faults, spans(2, from_us=NOW_US + 3 * S)) == []
    clock.advance(S)
    assert starts(passed(faults)) == [0, 1]
    clock.advance(4 * S)
    assert starts(passed(faults)) == [3000, 3001]
    assert active.acted == 4


def test_at_the_end_of_a_fault_all_that_it_holds_back_goes_on(faults: FaultSet, clock: ManualClock) -> None:
    faults.apply(NAME, "telemetry-delay", {"delay_us": 60 * S, "signals": "all"})
    faults.apply("f-2@cart-1", "telemetry-delay", {"delay_us": 60 * S, "signals": "all"})
    passed(faults, spans(2), spans(1, instance="cart-1"))
    clock.advance(S)
    faults.remove(NAME)
    assert starts(passed(faults, spans(1))) == [0, 0, 1]


def test_no_more_is_held_back_than_there_is_room_for(clock: ManualClock) -> None:
    faults = FaultSet("run-1", clock, most_held=3)
    faults.apply(NAME, "telemetry-delay", {"delay_us": 60 * S, "signals": "all"})
    assert starts(passed(faults, spans(2), spans(2, from_us=NOW_US + S))) == [0, 1]


def test_a_share_comes_twice_with_the_same_ids(faults: FaultSet) -> None:
    active = faults.apply(NAME, "telemetry-duplicate", {"ratio": 0.5, "signals": "all"})
    once, again = map(_spans, passed(faults, spans()))
    assert starts([once]) == list(range(COUNT))
    assert 430 <= again.count == active.acted <= 570
    assert set(again.span_id.tolist()) <= set(once.span_id.tolist())


def test_later_records_overtake_and_all_come_in_time(faults: FaultSet, clock: ManualClock) -> None:
    faults.apply(NAME, "telemetry-reorder", {"within_us": 2 * S, "signals": "all"})
    came = starts(passed(faults, spans()))
    assert 0 < len(came) < COUNT / 4
    clock.advance(S)
    came += starts(passed(faults))
    assert COUNT / 3 < len(came) < COUNT * 2 / 3
    clock.advance(S)
    came += starts(passed(faults))
    assert came != sorted(came)
    assert sorted(came) == list(range(COUNT))


def test_a_wrong_clock_moves_all_times_and_what_has_none_stays_without(faults: FaultSet) -> None:
    faults.apply(NAME, "telemetry-clock-skew", {"offset_us": -3 * S, "signals": "all"})
    moved, said, counted = passed(faults, spans(1), lines(1), points("sum", start_us=NOW_US))
    assert starts([moved]) == [-3000]
    assert _spans(moved).duration_us.tolist() == [100_000]
    assert isinstance(said, LogRows)
    assert said.time_us.tolist() == [NOW_US - 3 * S]
    assert isinstance(counted, PointRows)
    assert (counted.time_us.tolist(), counted.start_us.tolist()) == ([NOW_US - 3 * S], [NOW_US - 3 * S])
    (level,) = passed(faults, points("level"))
    assert isinstance(level, PointRows)
    assert level.start_us.tolist() == [0]


def test_a_metric_has_another_name_and_the_others_keep_theirs(faults: FaultSet) -> None:
    active = faults.apply(NAME, "telemetry-schema-drift", {"metric": "latency", "suffix": ".v2"})
    (found,) = passed(faults, points("latency", "queue.depth"))
    assert isinstance(found, PointRows)
    assert found.series.metrics == ("latency.v2", "queue.depth")
    assert active.acted == 1
    others: list[Rows] = [spans(1), points("queue.depth")]
    assert passed(faults, *others) == others


def test_what_is_held_back_has_passed_the_other_faults(faults: FaultSet, clock: ManualClock) -> None:
    faults.apply(NAME, "telemetry-delay", {"delay_us": S, "signals": "all"})
    faults.apply("f-2@cart-0", "telemetry-clock-skew", {"offset_us": -9 * S, "signals": "all"})
    assert passed(faults, spans(1)) == []
    clock.advance(S)
    assert starts(passed(faults)) == [-9000]


def test_a_fault_is_applied_once_and_its_name_is_taken(faults: FaultSet, clock: ManualClock) -> None:
    first = faults.apply(NAME, "telemetry-drop", {"ratio": 0.5, "signals": "all"})
    clock.advance(S)
    assert faults.apply(NAME, "telemetry-drop", {"ratio": 0.5, "signals": "all"}) is first
    assert first.applied_at_us == NOW_US
    with pytest.raises(Conflict, match=r"is in force as TelemetryDrop.*remove it first"):
        faults.apply(NAME, "telemetry-drop", {"ratio": 0.6, "signals": "all"})
    assert faults.remove("f-2@cart-0") is None


@pytest.mark.parametrize(
    ("name", "kind", "parameters", "problem"),
    [
        (NAME, "http-delay", {}, "a collector can't make 'http-delay'; it can make telemetry-clock-skew,"),
        (NAME, "telemetry-drop", {"ratio": "half"}, "no canonical parameters of telemetry-drop"),
        (NAME, "telemetry-drop", {"ratio": 7, "signals": "all"}, "ratio: 7.0 is out of range"),
        (NAME, "telemetry-drop", {"ratio": 1, "signals": "spans"}, "signals: 'spans' is none of them"),
        ("f-1", "telemetry-drop", {"ratio": 1, "signals": "all"}, "'f-1' names no instance"),
    ],
)
def test_what_can_not_be_made_is_refused(
    faults: FaultSet, name: str, kind: str, parameters: dict[str, object], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        faults.apply(name, kind, parameters)
    assert faults.is_idle


@pytest.mark.parametrize("rows", [spans(), lines(), points(*(f"m{number}" for number in range(COUNT)))])
def test_chances_are_even_and_those_of_another_fault_are_others(rows: Pushed) -> None:
    one, other = chances(rows, 1), chances(rows, 2)
    assert signal_of_rows(rows) in ("traces", "logs", "metrics")
    for found in (one, other):
        assert 0 <= found.min() < 0.01
        assert 0.99 < found.max() < 1
        assert abs(found.mean() - 0.5) < 0.05
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_some_rows_keep_all_that_is_theirs() -> None:
    said = lines(3).at(np.array([2, 0]))
    assert (said.bodies, said.line_id.tolist()) == (("body 2", "body 0"), [2, 0])
    links = Links(
        row=np.array([0, 2, 2, 1]),
        trace_id=id_column([bytes([number]) * 16 for number in range(4)], 16),
        span_id=id_column([bytes([number]) * 8 for number in range(4)], 8),
    )
    linked = replace(spans(3), links=links).at(np.array([2, 1]))
    assert linked.links is not None
    assert linked.links.row.tolist() == [0, 0, 1]
    assert linked.links.span_id.tolist() == [bytes([number]) * 8 for number in (1, 2, 3)]
