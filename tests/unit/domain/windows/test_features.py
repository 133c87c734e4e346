"""Features say what was measured, against an independent computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.features import features
from microservo.domain.telemetry import SIGNALS, Signal
from microservo.domain.window_rows import LOG_ROW, METRIC_ROW, ROW_TYPES, SPAN_ROW, Dictionary, Rows, distinct

S = 1_000_000


def of(**blocks: Rows) -> dict[str, float]:
    rows = {
        signal: distinct(signal, [blocks[signal]] if signal in blocks else [], WORDS) for signal in SIGNALS
    }
    return features(rows, 0, WORDS)


WORDS = Dictionary()
WORDS.numbers(("", "cpu", "memory", "GetCart", "AddItem", "redis", "cart-0"))


def metric(*points: tuple[int, int, float]) -> Rows:
    return np.array([(time, name, 6, value) for time, name, value in points], METRIC_ROW)


def test_a_metric_has_count_extremes_mean_last_and_slope() -> None:
    found = of(metrics=metric((2 * S, 1, 7.0), (0, 1, 1.0), (1 * S, 1, 4.0), (0, 2, 5.0)))
    assert found == {
        "metric/cpu/count": 3.0,
        "metric/cpu/last": 7.0,
        "metric/cpu/max": 7.0,
        "metric/cpu/mean": 4.0,
        "metric/cpu/min": 1.0,
        "metric/cpu/slope": 3.0,
        "metric/memory/count": 1.0,
        "metric/memory/last": 5.0,
        "metric/memory/max": 5.0,
        "metric/memory/mean": 5.0,
        "metric/memory/min": 5.0,
        "metric/memory/slope": pytest.approx(math.nan, nan_ok=True),
    }
    assert list(found) == sorted(found)


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.floats(-1e9, 1e9)), min_size=1, max_size=40, unique=True))
def test_metric_features_agree_with_numpy(points: list[tuple[int, float]]) -> None:
    found = of(metrics=metric(*((time, 1, value) for time, value in points)))
    values = np.array([value for _, value in points])
    assert found["metric/cpu/mean"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-6)
    assert (found["metric/cpu/min"], found["metric/cpu/max"]) == (values.min(), values.max())
    seconds = np.array([time for time, _ in points]) / S
    if np.ptp(seconds) > 0.01:
        slope = np.polyfit(seconds - seconds.mean(), values, 1)[0]
        assert found["metric/cpu/slope"] == pytest.approx(slope, rel=1e-5, abs=1e-2)


def test_logs_are_counted_by_level_and_template() -> None:
    rows = np.array(
        [(0, 9, 3, 6, 1, 1), (1, 10, 3, 6, 1, 1), (2, 17, 4, 6, 1, 1), (3, 0, 4, 6, 1, 1)], LOG_ROW
    )
    assert of(logs=rows) == {
        "log/severity/error": 1.0,
        "log/severity/info": 2.0,
        "log/severity/unknown": 1.0,
        "log/template/AddItem": 2.0,
        "log/template/GetCart": 2.0,
    }


def spans(*each: tuple[int, int, int, int, int]) -> Rows:
    return np.array(
        [
            (0, kind, endpoint, peer, duration, error, 6, n)
            for n, (kind, endpoint, peer, duration, error) in enumerate(each)
        ],
        SPAN_ROW,
    )


def test_requests_and_calls_have_count_errors_and_measured_quantiles() -> None:
    served = [(2, 3, 0, 1000 * ms, int(ms == 100)) for ms in range(1, 101)]
    found = of(traces=spans(*served, (3, 4, 5, 2500, 1), (1, 4, 0, 9_000_000, 1)))
    assert {name: value for name, value in found.items() if name.startswith("request/GetCart")} == {
        "request/GetCart/count": 100.0,
        "request/GetCart/error_share": 0.01,
        "request/GetCart/p50_ms": 50.0,
        "request/GetCart/p90_ms": 90.0,
        "request/GetCart/p99_ms": 99.0,
    }
    assert found["request/*/count"] == 100.0
    assert (found["call/redis/p99_ms"], found["call/redis/error_share"]) == (2.5, 1.0)
    assert not any("AddItem" in name for name in found), "internal spans are neither requests nor calls"


@pytest.mark.parametrize("signal", SIGNALS)
def test_rows_are_distinct_and_sorted_whatever_their_order(signal: Signal) -> None:
    rng = np.random.default_rng(3)
    table = np.zeros(60, ROW_TYPES[signal])
    for column in table.dtype.names or ():
        table[column] = rng.integers(0, 4, 60)
    doubled = np.concatenate([table, table])
    once = distinct(signal, [table], WORDS)
    again = distinct(signal, [rng.permutation(doubled), table], WORDS)
    assert once.tobytes() == again.tobytes()
    assert len(np.unique(table)) == len(once)


def test_an_empty_window_has_no_features() -> None:
    assert of() == {}
