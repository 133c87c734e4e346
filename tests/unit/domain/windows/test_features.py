"""Features say what was measured, against an independent computation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.blocks import Block, block_of, keep
from microservo.domain.dictionary import Dictionary
from microservo.domain.features import FeatureMaker, same_features
from microservo.domain.telemetry import Signal
from microservo.domain.window_rows import WindowRows
from schemas.records import LogBatch, MetricBatch, SpanBatch

S = 1_000_000
WORDS = ("", "cpu", "memory", "GetCart", "AddItem", "redis", "cart-0", "cart-1")
DICTIONARY = Dictionary()


def of(
    *, metrics: Sequence[Block] = (), logs: Sequence[Block] = (), traces: Sequence[Block] = ()
) -> dict[str, float]:
    rows = WindowRows.of([{"metrics": metrics, "logs": logs, "traces": traces}], DICTIONARY)
    (found,) = FeatureMaker(DICTIONARY, 5 * S).features(rows, 0)
    return found


def packed(column: Sequence[float], dtype: str) -> bytes:
    return np.array(column).astype(dtype).tobytes()


def metric(
    *points: tuple[int, int, float],
    instances: Sequence[int] | None = None,
    intervals: Sequence[int] = (),
    ages: Sequence[int] = (),
) -> Block:
    """Points of (time, name, value)."""
    times, names, values = zip(*points, strict=True)
    batch = MetricBatch(
        run_id="run",
        service="cart",
        instances=WORDS,
        names=WORDS,
        time_us=packed(times, "<i8"),
        instance=packed(instances or [6] * len(points), "<u2"),
        name=packed(names, "<u2"),
        value=packed(values, "<f8"),
        interval_us=packed(intervals, "<i8"),
        age_us=packed(ages, "<i8"),
    )
    return block_of(batch, DICTIONARY)


def logs(*lines: tuple[int, int, int, str], ids: Sequence[int] | None = None) -> Block:
    """Lines of (time, severity, template, body); without ids as before version 2 of the record."""
    times, severities, templates, bodies = zip(*lines, strict=True)
    batch = LogBatch(
        run_id="run",
        service="cart",
        instances=("cart-0",),
        templates=WORDS,
        time_us=packed(times, "<i8"),
        instance=bytes(2 * len(lines)),
        severity=packed(severities, "u1"),
        template=packed(templates, "<u2"),
        trace_id=bytes(16 * len(lines)),
        span_id=bytes(8 * len(lines)),
        line_id=packed(ids, "<u8") if ids else b"",
        bodies=bodies,
    )
    return block_of(batch, DICTIONARY)


def spans(
    *each: tuple[int, int, int, int, int],
    ids: Sequence[int] | None = None,
    protocols: Sequence[int] = (),
) -> Block:
    """Spans of (kind, endpoint, peer, duration, error)."""
    kinds, endpoints, peers, durations, errors = zip(*each, strict=True)
    count = len(each)
    batch = SpanBatch(
        run_id="run",
        service="cart",
        instances=("cart-0",),
        endpoints=WORDS,
        peers=WORDS,
        start_us=bytes(8 * count),
        duration_us=packed(durations, "<i8"),
        instance=bytes(2 * count),
        endpoint=packed(endpoints, "<u2"),
        peer=packed(peers, "<u2"),
        kind=packed(kinds, "u1"),
        protocol=packed(protocols, "u1"),
        error=packed(errors, "u1"),
        trace_id=bytes(16 * count),
        span_id=packed(ids or range(1, count + 1), "<u8"),
        parent_id=bytes(8 * count),
    )
    return block_of(batch, DICTIONARY)


def test_a_metric_has_count_extremes_mean_last_and_slope() -> None:
    found = of(metrics=[metric((2 * S, 1, 7.0), (0, 1, 1.0), (1 * S, 1, 4.0), (0, 2, 5.0))])
    assert found == {
        "metric/cpu/count": 3.0,
        "metric/cpu/age_s": 3.0,
        "metric/cpu/last": 7.0,
        "metric/cpu/max": 7.0,
        "metric/cpu/mean": 4.0,
        "metric/cpu/min": 1.0,
        "metric/cpu/slope": 3.0,
        "metric/memory/count": 1.0,
        "metric/memory/age_s": 5.0,
        "metric/memory/last": 5.0,
        "metric/memory/max": 5.0,
        "metric/memory/mean": 5.0,
        "metric/memory/min": 5.0,
        "metric/memory/slope": pytest.approx(math.nan, nan_ok=True),
    }
    assert list(found) == sorted(found)


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.floats(-1e9, 1e9)), min_size=1, max_size=40, unique=True))
def test_metric_features_agree_with_numpy(points: list[tuple[int, float]]) -> None:
    found = of(metrics=[metric(*((time, 1, value) for time, value in points))])
    values = np.array(sorted({(time, value + 0.0) for time, value in points}))[:, 1]
    assert found["metric/cpu/mean"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
    assert (found["metric/cpu/min"], found["metric/cpu/max"]) == (values.min(), values.max())
    seconds = np.array(sorted({(time, value + 0.0) for time, value in points}))[:, 0] / S
    if np.ptp(seconds) > 0.01:
        slope = np.polyfit(seconds - seconds.mean(), values, 1)[0]
        assert found["metric/cpu/slope"] == pytest.approx(slope, rel=1e-5, abs=1e-2)


def test_points_of_one_instant_are_ordered_by_instance_and_value() -> None:
    """The last of them is the highest of the last instance by name, whatever its number and arrival."""
    points = ((0, 1, 9.0), (0, 1, 3.0), (0, 1, 5.0), (0, 1, 4.0))
    found = of(metrics=[metric(*points, instances=[6, 7, 7, 6])])
    assert (found["metric/cpu/last"], found["metric/cpu/count"]) == (5.0, 4.0)


@pytest.mark.parametrize("values", [(0.0, -0.0), (-0.0, 0.0)])
def test_of_zeros_with_two_signs_one_is_kept_and_always_the_same(values: tuple[float, float]) -> None:
    found = of(metrics=[metric(*((0, 1, value) for value in values))])
    assert found["metric/cpu/count"] == 1.0
    assert math.copysign(1, found["metric/cpu/last"]) == -1


def test_logs_are_counted_by_level_and_template() -> None:
    block = logs((0, 9, 3, "a"), (1, 10, 3, "a"), (2, 17, 4, "a"), (3, 0, 4, "a"))
    assert of(logs=[block]) == {
        "log/severity/error": 1.0,
        "log/severity/info": 2.0,
        "log/severity/unknown": 1.0,
        "log/template/AddItem": 2.0,
        "log/template/GetCart": 2.0,
    }


@pytest.mark.parametrize("ids", [None, range(1, 61)])
def test_sixty_equal_lines_of_one_second_are_sixty_lines(ids: Sequence[int] | None) -> None:
    block = logs(*[(0, 17, 3, "GET / 500")] * 60, ids=ids)
    assert of(logs=[block])["log/template/GetCart"] == 60.0


def test_lines_that_a_sender_sends_again_count_once() -> None:
    block = logs(*[(0, 17, 3, "GET / 500")] * 60, ids=range(1, 61))
    other = logs(*[(0, 17, 3, "GET / 500")] * 60, ids=range(61, 121))
    assert of(logs=[block, other, block])["log/template/GetCart"] == 120.0


def test_equal_spans_of_different_ids_are_different_calls() -> None:
    assert of(traces=[spans(*[(2, 3, 0, 1000, 0)] * 60)])["request/GetCart/count"] == 60.0


def test_the_two_sides_of_a_call_that_share_an_id_are_two_spans() -> None:
    found = of(traces=[spans((2, 3, 0, 10, 0), (3, 3, 5, 10, 0), (2, 3, 0, 10, 0), ids=[7, 7, 7])])
    assert (found["request/*/count"], found["call/*/count"]) == (1.0, 1.0)


def test_messages_that_are_sent_are_calls() -> None:
    found = of(traces=[spans((4, 1, 2, 10, 0), (3, 1, 2, 10, 0))])
    assert (found["call/*/count"], found[f"call/{WORDS[2]}/count"]) == (2.0, 2.0)


def test_requests_and_calls_have_count_errors_and_measured_quantiles() -> None:
    served = [(2, 3, 0, 1000 * ms, int(ms == 100)) for ms in range(1, 101)]
    found = of(traces=[spans(*served, (3, 4, 5, 2500, 1), (1, 4, 0, 9_000_000, 1))])
    assert {name: value for name, value in found.items() if name.startswith("request/GetCart")} == {
        "request/GetCart/count": 100.0,
        "request/GetCart/error_share": 0.01,
        "request/GetCart/p50_ms": 50.0,
        "request/GetCart/p90_ms": 90.0,
        "request/GetCart/p99_ms": 99.0,
    }
    assert found["request/*/count"] == 100.0
    assert (found["call/redis/p99_ms"], found["call/redis/error_share"]) == (2.5, 1.0)
    assert {name for name in found if "AddItem" in name or name.startswith("internal")} == {
        f"internal/{name}/{statistic}"
        for name in ("*", "AddItem")
        for statistic in ("count", "error_share", "p50_ms", "p90_ms", "p99_ms")
    }


def test_a_span_without_a_peer_counts_among_all_only() -> None:
    found = of(traces=[spans((3, 3, 0, 1000, 0), (3, 3, 5, 3000, 0))])
    assert {name for name in found if name.endswith("count")} == {"call/*/count", "call/redis/count"}
    assert found["call/*/count"] == 2.0


def test_rows_are_distinct_and_the_same_whatever_their_order() -> None:
    rng = np.random.default_rng(3)
    few = rng.integers(0, 3, (4, 60)).tolist()
    points = [(time, 1 + name, float(value)) for time, name, value, _ in zip(*few, strict=True)]
    instances = [6 + number % 2 for number in few[3]]
    lines = [
        (time, 9 + level, 3 + template, str(body)) for time, level, template, body in zip(*few, strict=True)
    ]
    served = [(2 + kind % 2, 3 + at, 5, took, 0) for kind, at, took, _ in zip(*few, strict=True)]
    ids = [1 + number for number in few[3]]
    line_ids = [1 + line % 40 for line in range(60)]

    def shuffled(order: list[int]) -> dict[str, float]:
        return of(
            metrics=[metric(*(points[n] for n in order), instances=[instances[n] for n in order])],
            logs=[logs(*(lines[n] for n in order), ids=[line_ids[n] for n in order])],
            traces=[spans(*(served[n] for n in order), ids=[ids[n] for n in order])],
        )

    once = shuffled(list(range(60)))
    again = shuffled(rng.permutation([*range(60), *range(60), *range(30)]).tolist())
    assert same_features(once, again)
    assert once["metric/cpu/count"] == len(
        {(point, instance) for point, instance in zip(points, instances, strict=True) if point[1] == 1}
    )
    assert once["log/template/GetCart"] + once["log/template/AddItem"] + once["log/template/redis"] == 40
    assert once["request/*/count"] == len(
        {one for span, one in zip(served, ids, strict=True) if span[0] == 2}
    )


def test_texts_are_told_apart_where_every_message_numbers_its_own() -> None:
    def named(name: str, value: float) -> Block:
        batch = MetricBatch(
            run_id="run",
            service="cart",
            instances=("cart-0",),
            names=(name,),
            time_us=packed([1], "<i8"),
            instance=bytes(2),
            name=bytes(2),
            value=packed([value], "<f8"),
        )
        return block_of(batch, DICTIONARY)

    found = of(metrics=[named("cpu", 1.0), named("memory", 2.0), named("cpu", 3.0)])
    assert (found["metric/cpu/count"], found["metric/memory/last"]) == (2.0, 2.0)


def test_windows_that_are_made_together_are_as_if_made_alone() -> None:
    windows: list[dict[Signal, list[Block]]] = [
        {"metrics": [metric((0, 1, 1.0), (1, 2, 2.0))], "logs": [], "traces": [spans((2, 3, 0, 10, 0))]},
        {"metrics": [], "logs": [], "traces": []},
        {"metrics": [metric((0, 1, 1.0), (0, 1, 5.0))], "logs": [logs((0, 9, 3, "a"))], "traces": []},
        {"metrics": [], "logs": [logs((0, 9, 3, "a"))], "traces": [spans((2, 3, 0, 10, 0))]},
    ]
    rows = WindowRows.of(windows, DICTIONARY)
    assert rows.counts() == [
        {"metrics": 2, "logs": 0, "traces": 1},
        {"metrics": 0, "logs": 0, "traces": 0},
        {"metrics": 2, "logs": 1, "traces": 0},
        {"metrics": 0, "logs": 1, "traces": 1},
    ]
    together = FeatureMaker(DICTIONARY, 5 * S).features(rows, 0)
    alone = [of(**window) for window in windows]
    assert all(same_features(one, other) for one, other in zip(together, alone, strict=True))


def test_many_small_blocks_become_few_and_say_the_same() -> None:
    points = [(number % 7, 1 + number % 2, float(number % 5)) for number in range(200)]
    few: list[Block] = []
    for point in points:
        keep(few, metric(point))
    assert len(few) < 32
    assert same_features(of(metrics=few), of(metrics=[metric(*points)]))


def test_an_empty_window_has_no_features() -> None:
    assert of() == {}


def test_undefined_numbers_are_the_same_and_zeros_of_two_signs_not() -> None:
    assert same_features({"a": math.nan}, {"a": -math.nan})
    assert not same_features({"a": 0.0}, {"a": -0.0})
    assert not same_features({"a": 1.0}, {"b": 1.0})


def test_rates_add_up_over_instances_each_over_the_time_of_its_points() -> None:
    """Instance 6: 2 a second for 1 s, then 5 for 2 s, which is 4 a second; instance 7: 10 a second."""
    block = metric(
        (1 * S, 1, 2.0),
        (3 * S, 1, 5.0),
        (2 * S, 1, 10.0),
        instances=[6, 6, 7],
        intervals=[1 * S, 2 * S, 1 * S],
    )
    assert of(metrics=[block]) == {
        "metric/cpu/count": 3.0,
        "metric/cpu/age_s": 2.0,
        "metric/cpu/last": 15.0,
        "metric/cpu/max": 10.0,
        "metric/cpu/min": 2.0,
        "metric/cpu/sum": 14.0,
    }


def test_a_value_that_is_repeated_says_how_old_it_is_at_the_end_of_the_window() -> None:
    """Measured at -20 s and told again at 1 s; the window ends at 5 s."""
    found = of(metrics=[metric((1 * S, 1, 7.5), ages=[21 * S])])
    assert found == {"metric/cpu/age_s": 25.0, "metric/cpu/count": 0.0, "metric/cpu/last": 7.5}


def test_a_new_point_of_a_seldom_series_is_newer_than_the_one_repeated() -> None:
    found = of(metrics=[metric((1 * S, 1, 7.0), (3 * S, 1, 9.0), ages=[60 * S, 0])])
    assert (found["metric/cpu/last"], found["metric/cpu/age_s"]) == (9.0, 2.0)
    assert (found["metric/cpu/count"], found["metric/cpu/max"]) == (1.0, 9.0)


def test_old_rates_of_all_instances_add_up_and_the_newest_level_counts() -> None:
    rates = metric(
        (1 * S, 1, 3.0), (1 * S, 1, 4.0), instances=[6, 7], intervals=[60 * S] * 2, ages=[20 * S, 30 * S]
    )
    levels = metric((1 * S, 2, 3.0), (1 * S, 2, 4.0), instances=[6, 7], ages=[20 * S, 30 * S])
    found = of(metrics=[rates, levels])
    assert (found["metric/cpu/last"], found["metric/cpu/age_s"]) == (7.0, 24.0)
    assert (found["metric/memory/last"], found["metric/memory/age_s"]) == (3.0, 24.0)


def test_rates_and_old_values_are_the_same_whatever_their_order() -> None:
    rng = np.random.default_rng(5)
    count = 60
    points = [
        (int(time), 1 + int(name), float(value))
        for time, name, value in zip(
            rng.integers(0, 5 * S, count), rng.integers(0, 2, count), rng.random(count), strict=True
        )
    ]
    instances = rng.integers(6, 8, count).tolist()
    intervals = (rng.integers(0, 2, count) * S).tolist()
    ages = (rng.integers(0, 2, count) * 9 * S).tolist()

    def shuffled(order: list[int]) -> dict[str, float]:
        return of(
            metrics=[
                metric(
                    *(points[n] for n in order),
                    instances=[instances[n] for n in order],
                    intervals=[intervals[n] for n in order],
                    ages=[ages[n] for n in order],
                )
            ]
        )

    once = shuffled(list(range(count)))
    assert same_features(once, shuffled(rng.permutation([*range(count), *range(count)]).tolist()))
    assert list(once) == sorted(once)


def test_every_kind_of_span_has_features_of_its_own() -> None:
    one_of_each = [(kind, 3, 5, 1000 * (kind + 1), 0) for kind in range(6)]
    found = of(traces=[spans(*one_of_each)])
    assert {name: value for name, value in found.items() if name.endswith(("count", "p50_ms"))} == {
        "call/*/count": 2.0,
        "call/*/p50_ms": 4.0,
        "call/redis/count": 2.0,
        "call/redis/p50_ms": 4.0,
        "consume/*/count": 1.0,
        "consume/*/p50_ms": 6.0,
        "consume/redis/count": 1.0,
        "consume/redis/p50_ms": 6.0,
        "internal/*/count": 2.0,
        "internal/*/p50_ms": 1.0,
        "internal/GetCart/count": 2.0,
        "internal/GetCart/p50_ms": 1.0,
        "request/*/count": 1.0,
        "request/*/p50_ms": 3.0,
        "request/GetCart/count": 1.0,
        "request/GetCart/p50_ms": 3.0,
    }
    assert list(found) == sorted(found)


def test_calls_by_another_protocol_than_http_are_told_apart() -> None:
    calls = [(3, 3, 5, 1000 * number, 0) for number in range(1, 6)]
    found = of(traces=[spans(*calls, (2, 3, 0, 7000, 1), protocols=[0, 1, 2, 4, 4, 2])])
    assert {name: value for name, value in found.items() if "*" in name and name.endswith("count")} == {
        "call/*/count": 5.0,
        "call/*database/count": 2.0,
        "call/*rpc/count": 1.0,
        "request/*/count": 1.0,
        "request/*rpc/count": 1.0,
    }
    assert (found["call/*database/p99_ms"], found["request/*rpc/error_share"]) == (5.0, 1.0)
