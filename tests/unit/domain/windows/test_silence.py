"""What windows say of what did not come, and how long they wait for services that send late."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from synthetic import PAUSE_S, START_US, Story, messages, windowers

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.features import LEVELS
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.domain.silence import PushedSignal, packed_signals, with_silence
from microservo.domain.telemetry import Signal
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas.catalogue import TELEMETRY_METRICS, TELEMETRY_TRACES
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import MetricBatch, ServiceInventory, SpanBatch

S = 1_000_000
NOTHING: dict[Signal, int] = {"metrics": 0, "logs": 0, "traces": 0}
STEADY = Story(late_ratio=0)
PAUSED, SLOW = STEADY.services[1], STEADY.services[-1]


def inventory(
    at_s: float = 1, *, delay_s: float = 0, signals: Mapping[Signal, tuple[float, float]] | None = None
) -> ServiceInventory:
    """What is known of cart; signals by interval and newest record, in seconds."""
    given: Mapping[Signal, tuple[float, float]] = signals or {"traces": (0.2, at_s)}
    return ServiceInventory(
        run_id="run",
        service="cart",
        endpoints=("AddItem", "GetCart"),
        peers=("redis",),
        templates=("GetCart took <*>",),
        metered=("cpu",),
        **packed_signals(
            {
                name: PushedSignal(round(interval_s * S), round(newest_s * S))
                for name, (interval_s, newest_s) in given.items()
            }
        ),
        delay_us=round(delay_s * S),
        time_us=round(at_s * S),
    )


def spans(*ends_s: float, endpoint: str = "GetCart") -> SpanBatch:
    count = len(ends_s)
    return SpanBatch(
        run_id="run",
        service="cart",
        instances=("cart-0",),
        endpoints=(endpoint,),
        peers=("",),
        start_us=np.array([round(at_s * S) for at_s in ends_s], "<i8").tobytes(),
        duration_us=bytes(8 * count),
        instance=bytes(2 * count),
        endpoint=bytes(2 * count),
        peer=bytes(2 * count),
        kind=b"\x02" * count,
        error=bytes(count),
        trace_id=b"".join(round(at_s * S).to_bytes(16, "little") for at_s in ends_s),
        span_id=b"\x01" * 8 * count,
        parent_id=bytes(8 * count),
    )


class Feed:
    """A windower and its writers; times in seconds."""

    def __init__(self) -> None:
        self.windower = Windower(WindowPolicy())

    def known(self, one: ServiceInventory, *, stamped_s: float) -> None:
        self.windower.inventory(one, stamp(stamped_s))

    def spans(self, *ends_s: float, stamped_s: float) -> None:
        self.windower.telemetry(spans(*ends_s), stamp(stamped_s))

    def promise(self, at_s: float, *sources: str) -> list[ClosedWindow]:
        for source in sources or SOURCES:
            self.windower.heartbeat(source, stamp(at_s))
        return list(self.windower.close())


def stamp(at_s: float) -> Stamp:
    return Stamp(run="run", watermark_us=round(at_s * S), writer="w", sequence=0, total=0)


def windows_of(story: Story, service: str) -> dict[int, list[ClosedWindow]]:
    """Revisions of a service's windows with new features, by their start in seconds since the run began."""
    (windower,) = windowers(story, 1)
    found: dict[int, list[ClosedWindow]] = {}
    for message in messages(story, partitions=1):
        process_message(windower, message.topic, message.value, message.headers)
        for closed in windower.close():
            if closed.service == service and closed.features_changed:
                found.setdefault((closed.start_us - START_US) // S, []).append(closed)
    return found


def test_a_paused_service_looks_silent_and_not_healthy() -> None:
    windows = windows_of(STEADY, PAUSED)
    for start_s, (window, *_) in windows.items():
        is_paused = PAUSE_S[0] <= start_s and start_s + 5 <= PAUSE_S[1]
        pushed = [window.features[f"telemetry/{name}"] for name in ("spans", "logs")]
        assert window.features["telemetry/silent"] == is_paused
        assert (max(pushed) == 0) == is_paused
        assert (window.features["request/GetCart/count"] == 0) == is_paused
        assert (window.features["call/redis/count"] == 0) == is_paused
        assert (window.features["log/severity/info"] == 0) == is_paused
        assert math.isnan(window.features["request/GetCart/p50_ms"]) == is_paused
    assert {start_s for start_s in windows if PAUSE_S[0] <= start_s < PAUSE_S[1]} == {15, 20, 25}


def test_what_is_known_and_was_not_seen_is_zero_beside_what_was() -> None:
    feed = Feed()
    feed.known(inventory(1), stamped_s=1)
    feed.spans(1, 2, stamped_s=2)
    (window,) = feed.promise(7)
    assert {name: value for name, value in window.features.items() if not math.isnan(value)} == {
        "call/*/count": 0.0,
        "call/redis/count": 0.0,
        "request/*/count": 2.0,
        "request/*/error_share": 0.0,
        "request/*/p50_ms": 0.0,
        "request/*/p90_ms": 0.0,
        "request/*/p99_ms": 0.0,
        "request/AddItem/count": 0.0,
        "request/GetCart/count": 2.0,
        "request/GetCart/error_share": 0.0,
        "request/GetCart/p50_ms": 0.0,
        "request/GetCart/p90_ms": 0.0,
        "request/GetCart/p99_ms": 0.0,
        "telemetry/logs": 0.0,
        "telemetry/points": 0.0,
        "telemetry/silent": 0.0,
        "telemetry/spans": 2.0,
    }
    assert list(window.features) == sorted(window.features)


def test_a_window_has_the_same_names_whatever_was_logged_in_it() -> None:
    known = inventory(1, signals={"logs": (1, 1)})
    quiet = with_silence({}, NOTHING, [known], 5 * S)
    lines = {
        "log/severity/error": 2.0,
        "log/severity/info": 3.0,
        "log/template/<other>": 1.0,
        "log/template/GetCart took <*>": 2.0,
        "log/template/no route to <*>": 1.0,
        "log/template/timed out": 1.0,
    }
    loud = with_silence(lines, {**NOTHING, "logs": 5}, [known], 5 * S)
    assert list(quiet) == list(loud) == sorted(loud)
    assert {name for name in quiet if name.startswith("log/severity/")} == {
        f"log/severity/{level}" for level in LEVELS
    }
    templates = {name: value for name, value in loud.items() if name.startswith("log/template/")}
    assert templates == {"log/template/<other>": 3.0, "log/template/GetCart took <*>": 2.0}
    assert {value for name, value in quiet.items() if name.startswith("log/")} == {0.0}


def test_lines_that_come_before_a_service_is_known_to_log_count_together() -> None:
    found = with_silence({"log/template/hello": 2.0}, {**NOTHING, "logs": 2}, [inventory(1)], 5 * S)
    assert {name for name in found if name.startswith("log/")} == {"log/template/<other>"}
    assert found["log/template/<other>"] == 2.0


def test_windows_of_a_service_that_logs_are_of_one_size_whatever_is_in_them() -> None:
    windows = [
        replace(window, revision=0).feature_window()
        for start_s, revisions in windows_of(STEADY, STEADY.services[0]).items()
        if start_s > 0
        for window in revisions
    ]
    sizes = {
        window.names: {len(encode(each)) for each in windows if each.names == window.names}
        for window in windows
    }
    assert all(len(each) == 1 for each in sizes.values())
    assert len(sizes) == 1


def test_windows_say_what_a_service_is_also_while_it_is_silent() -> None:
    feed = Feed()
    feed.known(replace(inventory(1), service_kind="load_generator"), stamped_s=1)
    feed.windower.telemetry(replace(spans(6), source_kind="host"), stamp(6))
    feed.windower.telemetry(replace(spans(11), source_kind="host"), stamp(11))
    windows = feed.promise(17)
    assert [each.feature_window().service_kind for each in windows] == ["load_generator", "host", "host"]
    assert [each.labelled_window().service_kind for each in windows] == ["load_generator", "host", "host"]
    feed.windower.telemetry(replace(spans(6), source_kind="service"), stamp(18))
    (revised,) = feed.promise(60)
    assert (revised.revision, revised.start_us, revised.feature_window().service_kind) == (
        1,
        5 * S,
        "service",
    )


def test_a_service_of_which_nothing_is_known_is_not_silent_but_unknown() -> None:
    feed = Feed()
    feed.spans(1, stamped_s=1)
    (window,) = feed.promise(7)
    assert not any(name.startswith("telemetry/") for name in window.features)
    assert with_silence({"a": 1.0}, NOTHING, [], 5 * S) == {"a": 1.0}


def test_what_others_measure_of_a_service_is_no_sign_of_life() -> None:
    feed = Feed()
    feed.known(inventory(1), stamped_s=1)
    point = MetricBatch(
        run_id="run",
        service="cart",
        instances=("cart-0",),
        names=("cpu", "queue"),
        time_us=np.array([S, 2 * S], "<i8").tobytes(),
        instance=bytes(4),
        name=np.array([0, 0], "<u2").tobytes(),
        value=bytes(16),
    )
    feed.windower.telemetry(point, stamp(2))
    pushed = replace(point, time_us=np.array([6 * S, 7 * S], "<i8").tobytes(), name=b"\0\0\1\0")
    feed.known(inventory(6), stamped_s=6)
    feed.windower.telemetry(pushed, stamp(7))
    first, second = feed.promise(12)
    assert (first.features["telemetry/silent"], first.features["telemetry/points"]) == (1.0, 0.0)
    assert (second.features["telemetry/silent"], second.features["telemetry/points"]) == (0.0, 1.0)
    assert (first.features["metric/cpu/count"], second.features["metric/cpu/count"]) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("signals", "silent"),
    [
        ({"metrics": (60, 0)}, 0.0),
        ({"metrics": (60, -150)}, 0.0),
        ({"metrics": (60, -179)}, 1.0),
        ({"metrics": (60, 0), "traces": (0.5, 0)}, 1.0),
        ({"metrics": (60, -179), "traces": (8, -10)}, 0.0),
    ],
)
def test_a_signal_that_comes_seldom_is_missed_after_three_of_its_intervals(
    signals: dict[Signal, tuple[float, float]], silent: float
) -> None:
    found = with_silence({}, NOTHING, [inventory(2, signals=signals)], 5 * S)
    assert found["telemetry/silent"] == silent


def test_two_collectors_know_together_what_each_of_them_knows() -> None:
    one = replace(inventory(1, signals={"traces": (9, 1)}), endpoints=("Pay",), metered=())
    other = inventory(2, signals={"metrics": (60, -200), "traces": (30, -100)})
    both = [
        with_silence({}, NOTHING, each, 5 * S) for each in ([one, other], [other, one], [one, other, one])
    ]
    assert both[0] == both[1] == both[2]
    assert {"request/Pay/count", "request/GetCart/count", "call/redis/count"} <= both[0].keys()
    assert both[0]["telemetry/silent"] == 0.0, "the one has seen a span a second ago"


def test_revision_0_holds_all_of_a_steady_source_that_gathers_for_five_seconds() -> None:
    windows = windows_of(STEADY, SLOW)
    learned = [revisions for start_s, revisions in windows.items() if 10 <= start_s <= 20]
    assert len(learned) == 3
    for revisions in learned:
        assert [(each.revision, each.delay_us) for each in revisions] == [(0, 3.5 * S)]
    early, whole = (each.features["telemetry/spans"] for each in windows[0])
    assert early < 0.7 * whole, "before its delay was known"


def test_only_the_service_that_sends_late_is_waited_for() -> None:
    feed = Feed()
    other = replace(inventory(1), service="ad")
    feed.known(inventory(1, delay_s=4), stamped_s=1)
    feed.known(other, stamped_s=1)
    feed.spans(2, stamped_s=8)
    assert [(each.service, each.features["telemetry/spans"]) for each in feed.promise(10.999)] == [
        ("ad", 0.0)
    ]
    feed.spans(3, stamped_s=10.9999)
    feed.spans(4, stamped_s=11)
    (window,) = feed.promise(11)
    assert (window.revision, window.delay_us, window.features["telemetry/spans"]) == (0, 4 * S, 2.0)
    assert feed.windower.final_us("run") < 5 * S
    feed.spans(4.5, stamped_s=38.9)
    assert feed.promise(38.9999) == []
    (last,) = feed.promise(39)
    assert (last.revision, last.features["telemetry/spans"]) == (1, 4.0)
    assert feed.windower.final_us("run") == 9 * S
    ((_, counts),) = [item for item in feed.windower.ledger if item[0].source == TELEMETRY_TRACES]
    assert (counts.read, counts.in_windows, counts.late, counts.open) == (4, 2, 2, 0)


def test_the_longest_delay_that_is_known_in_time_holds() -> None:
    feed = Feed()
    for delay_s, stamped_s in ((1, 1), (3, 6.9), (9, 7)):
        feed.known(inventory(2, delay_s=delay_s), stamped_s=stamped_s)
    assert feed.promise(9.9) == []
    (window,) = feed.promise(10)
    assert window.delay_us == 3 * S


def test_records_that_are_read_before_the_inventory_that_waits_for_them_are_kept() -> None:
    feed = Feed()
    feed.promise(4)
    feed.spans(1, stamped_s=40)
    feed.spans(2, stamped_s=45)
    assert feed.promise(45, *[source for source in SOURCES if source != TELEMETRY_METRICS]) == []
    feed.known(inventory(3, delay_s=8), stamped_s=4)
    closed = feed.promise(45)
    assert [(each.revision, each.features["telemetry/spans"]) for each in closed] == [(0, 0.0), (1, 1.0)]
    (counts,) = [counts for _, counts in feed.windower.ledger]
    assert (counts.late, counts.dropped, counts.open) == (1, 1, 0)


def test_windows_of_a_service_stay_in_order_where_its_delay_falls() -> None:
    feed = Feed()
    feed.known(inventory(4, delay_s=6), stamped_s=4)
    feed.known(inventory(6, delay_s=3.5), stamped_s=6)
    assert [each.start_us for each in feed.promise(20)] == [0, 5 * S]


def test_a_late_inventory_makes_a_second_revision() -> None:
    feed = Feed()
    feed.spans(1, stamped_s=1)
    feed.promise(7)
    feed.known(inventory(1), stamped_s=8)
    (window,) = feed.promise(40)
    assert (window.revision, window.features["request/AddItem/count"]) == (1, 0.0)


def test_an_inventory_that_is_no_fact_of_this_run_is_refused() -> None:
    feed = Feed()
    with pytest.raises(InvalidMessage, match="before 1970 or beyond"):
        feed.known(inventory(20), stamped_s=2)
    with pytest.raises(InvalidMessage, match="of run 'other' is stamped for run 'run'"):
        feed.known(replace(inventory(1), run_id="other"), stamped_s=2)
    value = encode(inventory(1))
    with pytest.raises(InvalidMessage, match="expected a SpanBatch, got a ServiceInventory"):
        process_message(feed.windower, TELEMETRY_TRACES, value, stamp(3).headers())
    assert list(feed.windower.ledger) == []


def test_counts_of_nothing_are_zero_and_its_shares_quantiles_and_values_undefined() -> None:
    known = replace(inventory(), queues=("orders",), steps=("render",), levels=("heap",), rates=("gc.rate",))
    found = with_silence({}, NOTHING, [known], 5 * S)
    of_window = {name: value for name, value in found.items() if not name.startswith("telemetry/")}
    assert all(
        value == 0 if name.endswith("/count") else math.isnan(value) for name, value in of_window.items()
    )
    kinds = ("request/GetCart", "request/*", "call/redis", "consume/orders", "internal/render", "internal/*")
    for each in kinds:
        assert {f"{each}/count", f"{each}/error_share", f"{each}/p99_ms"} <= found.keys()
    metrics = {name for name in found if name.startswith("metric/")}
    assert {"metric/heap/count", "metric/heap/slope", "metric/gc.rate/sum", "metric/gc.rate/age_s"} <= metrics
    assert "metric/gc.rate/slope" not in found


def test_a_window_has_the_same_names_whether_anything_came_or_nothing() -> None:
    by_names: dict[tuple[str, ...], set[bool]] = {}
    for start_s, (window, *_) in windows_of(STEADY, PAUSED).items():
        if start_s >= 5:
            is_silent = bool(window.features["telemetry/silent"])
            by_names.setdefault(tuple(window.features), set()).add(is_silent)
    assert list(by_names.values()) == [{True, False}]
