from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated_telemetry import (
    BEHIND,
    FRONT,
    ROOT,
    RUN,
    USERS,
    Change,
    Published,
    Simulation,
    fault_records,
    instant_us,
    observe,
)

from microservo.domain.effects import EffectObserver
from microservo.domain.labels import Span, evidence
from microservo.domain.telemetry import LAYOUTS, span_columns
from microservo.domain.truth import window_truth
from schemas.records import FaultEffect, FaultVerdict, LogBatch, ServiceFault, SpanBatch

BEGIN_S = 200.3
SECOND_US = 1_000_000
DELAY = {"delay": "300ms"}
DEFAULTS: list[tuple[str, dict[str, str], Change]] = [
    ("http-delay", {"delay": "400ms"}, Change(delay_ms=400.0)),
    ("network-delay", {"latency": "300ms"}, Change(delay_ms=300.0)),
    ("network-loss", {"ratio": "30%"}, Change(delay_ms=200.0, share=0.3)),
    ("http-abort", {}, Change(share=0.5, failing=True)),
    ("connection-reset", {}, Change(share=0.5, failing=True)),
    ("app-exception", {}, Change(share=0.5, failing=True)),
    ("connection-abort", {}, Change(failing=True)),
    ("connection-limit", {}, Change(share=0.5, failing=True)),
    ("dns-failure", {}, Change(share=0.5, failing=True)),
    ("http-replace", {}, Change(failing=True)),
    ("http-truncate", {}, Change(share=0.5, failing=True)),
    ("network-corrupt", {"ratio": "30%"}, Change(delay_ms=200.0, share=0.3)),
    ("network-partition", {"peer": "frontend"}, Change(share=0.5, failing=True)),
    ("network-reorder", {"latency": "300ms"}, Change(delay_ms=300.0, share=0.75)),
    ("port-refuse", {}, Change(failing=True)),
    ("slow-close", {"delay": "400ms"}, Change(delay_ms=400.0)),
    ("process-pause", {}, Change(is_paused=True)),
    ("host-down", {}, Change(failing=True)),
    ("region-cut", {}, Change(is_paused=True)),
    ("region-cut", {}, Change(delay_ms=1500.0)),
    ("network-partition", {"peer": "frontend"}, Change(delay_ms=1500.0)),
    ("cpu-hog", {}, Change(cores=0.8, delay_ms=10.0)),
    ("memory-hog", {}, Change(held_bytes=128.0 * 2**20)),
]


def simulation(*changes: Change, seconds: int = 260, per_second: float = 15.0, seed: int = 3) -> Simulation:
    return Simulation(seconds=seconds, seed=seed, per_second=per_second, changes=list(changes))


def injected(
    fault_id: str, kind: str, from_s: float, until_s: float, **parameters: str
) -> list[ServiceFault]:
    """What is known of a fault: that it is in force, and later that it is over."""
    return [
        *fault_records(fault_id, kind, from_s, None, parameters=parameters),
        *fault_records(fault_id, kind, from_s, until_s, parameters=parameters),
    ]


def effects(published: Published, fault_id: str = "f-1") -> dict[str, FaultEffect]:
    """The newest effect at each service."""
    return {
        record.service: record
        for _, record in published
        if isinstance(record, FaultEffect) and record.fault_id == fault_id
    }


def verdict(published: Published, fault_id: str = "f-1") -> FaultVerdict:
    """The newest verdict."""
    found = [record for _, record in published if isinstance(record, FaultVerdict)]
    return [record for record in found if record.fault_id == fault_id][-1]


@pytest.mark.parametrize("length_s", [2, 20])
@pytest.mark.parametrize(("kind", "parameters", "change"), DEFAULTS)
def test_a_fault_of_default_strength_is_confirmed_also_when_it_is_short(
    kind: str, parameters: dict[str, str], change: Change, length_s: int
) -> None:
    until_s = BEGIN_S + length_s
    run = simulation(replace(change, from_s=BEGIN_S, until_s=until_s))
    found = verdict(published := observe(run, injected("f-1", kind, BEGIN_S, until_s, **parameters)))
    assert (found.verdict, found.is_final) == ("confirmed", True)
    assert found.effect_seen_at_us is not None
    assert found.normal_at_us is not None
    assert instant_us(BEGIN_S) <= found.effect_seen_at_us < instant_us(BEGIN_S + 1.6)
    assert abs(found.normal_at_us - instant_us(until_s)) < 2 * SECOND_US
    assert all(record.is_final for record in effects(published).values())


@pytest.mark.parametrize(
    ("kind", "parameters", "change"),
    [("load-spike", {"times": "4"}, Change(times=4.0)), ("load-drop", {}, Change(times=0.1))],
)
def test_users_who_come_or_stay_away_are_seen_where_it_is_known_how_their_number_wanders(
    kind: str, parameters: dict[str, str], change: Change
) -> None:
    run = simulation(replace(change, from_s=500.3, until_s=520.3), seconds=560)
    published = observe(run, injected("f-1", kind, 500.3, 520.3, **parameters))
    assert verdict(published).verdict == "confirmed"
    assert {"metric/network.requests.count/mean", "request/*/count", "call/cart/count"} & {
        record.series for record in effects(published).values() if record.finding == "visible"
    }


def test_the_effect_is_seen_with_the_first_record_that_differs_from_a_run_without_the_fault() -> None:
    distances_us = []
    for seed in range(8):
        change = Change(from_s=BEGIN_S, until_s=BEGIN_S + 5, delay_ms=300)
        run = simulation(change, seed=seed)
        found = effects(observe(run, injected("f-1", "network-delay", BEGIN_S, BEGIN_S + 5, latency="300ms")))
        first_us, last_us = differing(run, simulation(seed=seed))
        distances_us.append(abs(found[FRONT].starts_us[0] - first_us))
        assert abs(found[FRONT].ends_us[-1] - last_us) < 100_000
    assert np.median(distances_us) < 10_000
    assert max(distances_us) < 500_000


@pytest.mark.parametrize("seed", range(4))
def test_a_level_that_moved_is_dated_by_the_requests_that_slowed_down_with_it(seed: int) -> None:
    # Its points lie a second apart.
    change = Change(from_s=BEGIN_S, until_s=BEGIN_S + 2, cores=0.8, work_ms=20.0)
    run = simulation(change, seed=seed)
    found = effects(observe(run, injected("f-1", "cpu-hog", BEGIN_S, BEGIN_S + 2)))[ROOT]
    assert 0 <= found.starts_us[0] - instant_us(BEGIN_S) < 250_000


def differing(run: Simulation, twin: Simulation) -> tuple[int, int]:
    """First and last end of calls that the front end made in one run and not in the other."""
    both = []
    for each in (run, twin):
        calls = set()
        for _, batches in each.batches():
            for batch in batches:
                if isinstance(batch, SpanBatch) and (batch.service, batch.peers) == (FRONT, (ROOT,)):
                    columns = span_columns(batch)
                    calls |= set(zip(columns.start_us.tolist(), columns.time_us.tolist(), strict=True))
        both.append(calls)
    ends_us = [end_us for _, end_us in both[0] - both[1]]
    return min(ends_us), max(ends_us)


@pytest.mark.parametrize(
    ("kind", "parameters", "change"),
    [
        ("network-delay", {"latency": "1ms"}, Change(delay_ms=1)),
        ("http-abort", {"ratio": "1%"}, Change(share=0.01, failing=True)),
    ],
)
def test_a_fault_too_weak_to_matter_is_not_confirmed(
    kind: str, parameters: dict[str, str], change: Change
) -> None:
    run = simulation(replace(change, from_s=BEGIN_S, until_s=BEGIN_S + 20))
    published = observe(run, injected("f-1", kind, BEGIN_S, BEGIN_S + 20, **parameters))
    assert verdict(published).verdict in ("ineffective", "inconclusive")
    assert {record.finding for record in effects(published).values()} <= {"not_visible", "inconclusive"}


def test_a_fault_that_nothing_could_hide_and_that_moved_nothing_is_ineffective() -> None:
    published = observe(
        simulation(per_second=30), injected("f-1", "http-delay", BEGIN_S, BEGIN_S + 20, delay="400ms")
    )
    assert verdict(published).verdict == "ineffective"
    found = effects(published)
    assert {found[service].finding for service in (ROOT, FRONT, USERS)} == {"not_visible"}
    assert found[FRONT].samples > 300
    assert "call/cart/" in found[FRONT].evidence


def test_a_service_without_calls_is_inconclusive_and_never_ineffective() -> None:
    change = Change(from_s=BEGIN_S, until_s=BEGIN_S + 5, delay_ms=400)
    published = observe(
        simulation(change, per_second=0.2),
        injected("f-1", "http-delay", BEGIN_S, BEGIN_S + 5, delay="400ms"),
    )
    assert verdict(published).verdict == "inconclusive"
    assert {record.finding for record in effects(published).values()} == {"inconclusive"}


def test_a_mechanism_that_acted_on_nothing_confirms_nothing() -> None:
    run = simulation(Change(from_s=BEGIN_S, until_s=BEGIN_S + 5, delay_ms=400))
    records = [
        replace(record, acted=0)
        for record in injected("f-1", "http-delay", BEGIN_S, BEGIN_S + 5, delay="400ms")
    ]
    published = observe(run, records)
    assert (verdict(published).verdict, verdict(published).is_final) == ("inconclusive", True)
    assert {record.finding for record in effects(published).values()} == {"inconclusive"}
    assert effects(published)[FRONT].evidence == "the mechanism acted on nothing"


def test_an_effect_is_published_while_the_fault_goes_on_as_soon_as_it_is_known_to_act() -> None:
    run = simulation(Change(from_s=200, until_s=230, delay_ms=400))
    known = fault_records("f-1", "http-delay", 200, None, parameters=DELAY)
    waiting = {instant_us(201): (1, 0), instant_us(205): (2, 60)}
    observer, found = EffectObserver(RUN), []
    for watermark_us, batches in run.batches():
        for batch in batches:
            observer.telemetry(batch)
        if watermark_us in waiting:
            version, acted = waiting[watermark_us]
            for record in known:
                observer.fault(replace(record, version=version, acted=acted))
        found += [(watermark_us, each) for each in observer.advance(watermark_us)]
    seen = [at_us for at_us, each in found if isinstance(each, FaultEffect) and each.finding == "visible"]
    assert instant_us(205) <= min(seen) <= instant_us(208)
    effect = effects(found)[FRONT]
    assert abs(effect.starts_us[0] - instant_us(200.4)) < SECOND_US, (
        "dated from the records, not from the count"
    )


def test_a_control_has_no_effect_whatever_happens_meanwhile() -> None:
    run = simulation(Change(from_s=BEGIN_S, until_s=BEGIN_S + 20, delay_ms=400, cores=1))
    published = observe(run, injected("f-1", "noop", BEGIN_S, BEGIN_S + 20))
    assert (verdict(published).verdict, verdict(published).is_final) == ("ineffective", True)
    assert {record.finding for record in effects(published).values()} == {"not_visible"}


def test_a_fault_that_somebody_declared_is_measured_by_what_any_fault_may_move() -> None:
    run = simulation(Change(from_s=BEGIN_S, until_s=BEGIN_S + 20, delay_ms=60))
    published = observe(run, injected("f-1", "deploy", BEGIN_S, BEGIN_S + 20))
    assert verdict(published).verdict == "confirmed"
    assert effects(published)[FRONT].finding == "visible"


def test_without_fault_free_time_before_it_nothing_is_said_of_a_fault() -> None:
    run = simulation(Change(from_s=4, until_s=24, delay_ms=400), seconds=60)
    published = observe(run, injected("f-1", "http-delay", 4, 24, delay="400ms"))
    assert verdict(published).verdict == "inconclusive"
    assert "without faults" in effects(published)[FRONT].evidence


def test_a_weak_fault_under_a_strong_one_shares_its_effect_and_is_not_confirmed_by_it() -> None:
    run = simulation(Change(from_s=200, until_s=220, delay_ms=300), seconds=290)
    records = [
        *injected("strong", "http-delay", 200, 220, delay="300ms"),
        *injected("within", "network-delay", 205, 215, latency="1ms"),
        *injected("after", "network-delay", 212, 230, latency="1ms"),
    ]
    published = observe(run, records)
    assert verdict(published, "strong").verdict == "confirmed"
    assert effects(published, "strong")[FRONT].shared_with == ()
    for weak in ("within", "after"):
        found = effects(published, weak)[FRONT]
        assert (found.finding, "strong" in found.shared_with) == ("visible", True)
        assert verdict(published, weak).verdict == "inconclusive"
        assert "other causes" in verdict(published, weak).evidence


def test_calls_on_their_way_when_another_fault_begins_are_not_this_ones_effect() -> None:
    run = simulation(Change(from_s=210, until_s=230, is_paused=True), per_second=60, seconds=290)
    records = [
        *injected("weak", "network-delay", 204, 214, latency="1ms"),
        *injected("strong", "process-pause", 210, 230),
    ]
    published = observe(run, records)
    assert verdict(published, "strong").verdict == "confirmed"
    assert verdict(published, "weak").verdict != "confirmed"


def test_back_to_back_each_fault_has_the_effect_that_only_it_explains() -> None:
    run = simulation(
        Change(from_s=200, until_s=210, delay_ms=120),
        Change(from_s=210.2, until_s=220, failing=True, share=0.5),
        seconds=270,
    )
    records = [
        *injected("slow", "http-delay", 200, 210, delay="120ms"),
        *injected("failing", "http-abort", 210.2, 220),
    ]
    published = observe(run, records)
    assert [verdict(published, each).verdict for each in ("slow", "failing")] == ["confirmed", "confirmed"]
    slow, failing = effects(published, "slow")[FRONT], effects(published, "failing")[FRONT]
    assert slow.ends_us[-1] < instant_us(211)
    assert failing.starts_us[0] > instant_us(210.2)
    assert (slow.series, failing.series) == ("call/cart/p50_ms", "call/cart/error_share")


def test_of_two_strong_faults_that_overlap_each_is_confirmed_by_the_time_that_it_had_alone() -> None:
    run = simulation(
        Change(from_s=200, until_s=220, delay_ms=300),
        Change(from_s=210, until_s=235, failing=True, share=0.5),
        seconds=290,
    )
    records = [
        *injected("slow", "http-delay", 200, 220, delay="300ms"),
        *injected("failing", "http-abort", 210, 235),
    ]
    published = observe(run, records)
    assert [verdict(published, each).verdict for each in ("slow", "failing")] == ["confirmed", "confirmed"]
    assert effects(published, "failing")[FRONT].shared_with == ()


def test_the_baseline_of_a_fault_holds_no_other_fault() -> None:
    first = Change(from_s=60, until_s=120, delay_ms=300)
    run = simulation(first, Change(from_s=200, until_s=210, delay_ms=300))
    records = [
        *injected("f-0", "http-delay", 60, 120, delay="300ms"),
        *injected("f-1", "http-delay", 200, 210, delay="300ms"),
    ]
    found = effects(observe(run, records))[FRONT]
    assert found.baseline is not None
    assert found.value is not None
    assert found.baseline < 10
    assert found.value > 300


def test_an_effect_is_published_while_the_fault_goes_on_and_the_finding_follows_the_telemetry() -> None:
    run = simulation(Change(from_s=200, until_s=290, delay_ms=300), seconds=340)
    published = observe(run, injected("f-1", "http-delay", 200, 290, delay="300ms"))
    calls = [(at, each) for at, each in published if isinstance(each, FaultEffect) and each.service == FRONT]
    seen_us = min(at for at, record in calls if record.finding == "visible")
    assert seen_us < instant_us(206)
    for at_us, record in calls:
        if record.finding == "visible":
            assert at_us - record.through_us < 3 * SECOND_US
        assert record.is_open == (record.finding == "visible" and at_us < record.ends_us[-1] + 10 * SECOND_US)
    assert len(calls) < 70
    last = calls[-1][1]
    assert (len(last.starts_us), last.is_final, last.is_open) == (1, True, False)


def test_while_nothing_is_found_that_is_said_up_to_ten_seconds_ago() -> None:
    published = observe(
        simulation(seconds=300, per_second=30), injected("f-1", "http-delay", 200, 260, delay="400ms")
    )
    calls = [(at, each) for at, each in published if isinstance(each, FaultEffect) and each.service == FRONT]
    during = [(at, each) for at, each in calls if instant_us(222) < at < instant_us(260)]
    assert {each.finding for _, each in during} == {"not_visible"}
    assert all(at - each.through_us <= 12 * SECOND_US for at, each in during)
    assert calls[-1][0] < instant_us(270)


def test_an_effect_that_outlasts_the_fault_has_its_end_measured() -> None:
    run = simulation(Change(from_s=200, until_s=225, delay_ms=300), seconds=280)
    found = effects(observe(run, injected("f-1", "http-delay", 200, 215, delay="300ms")))[FRONT]
    assert abs(found.ends_us[-1] - instant_us(225.3)) < SECOND_US // 2
    assert found.first_within_us is not None
    assert found.last_within_us is not None
    assert 0 < found.first_within_us < SECOND_US
    assert 0 < found.last_within_us < SECOND_US


def truth_at(published: Published, over: ServiceFault, start_s: float) -> str:
    """The truth of the front end's window of five seconds that begins then."""
    window = Span(instant_us(start_s), instant_us(start_s + 5))
    found = evidence(over, effects(published)[FRONT], window)
    return window_truth([] if found is None else [found], window).truth


def test_a_short_fault_whose_calls_all_end_after_it_has_an_anomalous_window() -> None:
    # It is over at 202.3, and what it met ends between 205.3 and 207.3.
    run = simulation(Change(from_s=BEGIN_S, until_s=BEGIN_S + 2, delay_ms=5000))
    known = injected("f-1", "network-delay", BEGIN_S, BEGIN_S + 2, latency="5s")
    found = effects(published := observe(run, known))[FRONT]
    assert found.starts_us[0] > instant_us(205)
    assert found.late_starts_us == (found.starts_us[0],)
    assert abs(found.late_ends_us[0] - instant_us(207.3)) < SECOND_US // 2
    (over,) = (each for each in known if each.service == FRONT and each.recovered_at_us)
    assert [truth_at(published, over, start_s) for start_s in (200, 205, 210)] == [
        "normal",
        "anomalous",
        "normal",
    ]


def test_a_slow_tail_that_began_after_the_fault_is_masked() -> None:
    run = simulation(Change(from_s=200, until_s=225, delay_ms=300), seconds=280)
    known = injected("f-1", "http-delay", 200, 215, delay="300ms")
    found = effects(published := observe(run, known))[FRONT]
    assert found.ends_us[-1] > instant_us(225)
    assert all(instant_us(215) <= end_us < instant_us(216) for end_us in found.late_ends_us)
    (over,) = (each for each in known if each.service == FRONT and each.recovered_at_us)
    assert [truth_at(published, over, start_s) for start_s in (210, 215, 220)] == [
        "anomalous",
        "masked",
        "masked",
    ]


def test_while_a_fault_is_in_force_nothing_is_late() -> None:
    run = simulation(Change(from_s=200, until_s=230, delay_ms=300))
    found = effects(observe(run, fault_records("f-1", "http-delay", 200, None, parameters=DELAY)))[FRONT]
    assert (found.finding, found.late_starts_us, found.late_ends_us) == ("visible", (), ())


def test_what_is_not_normal_half_a_minute_after_recovery_has_no_measured_end() -> None:
    run = simulation(Change(from_s=200, until_s=300, delay_ms=300), seconds=300)
    published = observe(run, injected("f-1", "http-delay", 200, 215, delay="300ms"))
    found = effects(published)[FRONT]
    assert (found.is_final, found.is_open, found.last_within_us) == (True, False, None)
    assert verdict(published).normal_at_us is None
    assert verdict(published).is_final


def test_a_service_that_is_found_to_be_exposed_later_is_measured_too() -> None:
    run = simulation(Change(from_s=200, until_s=220, delay_ms=300))
    known = fault_records("f-1", "http-delay", 200, None, services=(ROOT, FRONT), parameters=DELAY)
    later = [
        replace(record, version=2)
        for record in fault_records(
            "f-1", "http-delay", 200, None, services=(USERS, BEHIND), parameters=DELAY
        )
    ]
    over = [
        replace(each, version=3) for each in fault_records("f-1", "http-delay", 200, 220, parameters=DELAY)
    ]
    found = effects(observe(run, [*known, *later, *over]))
    assert found[USERS].finding == "visible"


def test_services_that_have_sent_nothing_are_inconclusive() -> None:
    run = simulation()
    records = [
        replace(record, service=f"{record.service}-elsewhere", root_service=f"{ROOT}-elsewhere")
        for record in injected("f-1", "http-delay", 200, 205, delay="300ms")
        if record.service != BEHIND
    ]
    behind = [
        each for each in injected("f-1", "http-delay", 200, 205, delay="300ms") if each.service == BEHIND
    ]
    published = observe(run, [*records, *behind])
    assert verdict(published).verdict == "inconclusive"


def test_telemetry_in_any_order_and_twice_gives_the_same_findings() -> None:
    run = simulation(Change(from_s=BEGIN_S, until_s=BEGIN_S + 5, delay_ms=300))
    records = injected("f-1", "http-delay", BEGIN_S, BEGIN_S + 5, delay="300ms")
    in_order = observe(run, records)
    batches = [batch for _, batches in run.batches() for batch in batches]
    shuffled = batches + batches[::3]
    random.Random(1).shuffle(shuffled)
    observer = EffectObserver(RUN)
    for batch in shuffled:
        observer.telemetry(batch)
    for record in records:
        observer.fault(record)
    at_once = observer.advance(instant_us(260))
    assert content(at_once) == content([record for _, record in in_order])


@pytest.mark.parametrize("step_s", [2, 7, 40])
def test_how_often_the_observer_is_asked_changes_nothing_but_how_soon_it_answers(step_s: int) -> None:
    run = simulation(Change(from_s=200, until_s=220, delay_ms=300), seconds=280)
    records = injected("f-1", "http-delay", 200, 220, delay="300ms")
    each_second = [record for _, record in observe(run, records)]
    seldom = [record for _, record in observe(run, records, step_s=step_s)]
    assert content(seldom) == content(each_second)


def content(records: Iterable[FaultEffect | FaultVerdict]) -> dict[str, FaultEffect | FaultVerdict]:
    """The last record of each kind and service, without its version."""
    return {f"{type(each).__name__} {each.service}": replace(each, version=0) for each in records}


def test_after_a_restart_versions_go_on_and_none_has_two_contents() -> None:
    run = simulation(Change(from_s=200, until_s=220, delay_ms=300), seconds=280)
    records = injected("f-1", "http-delay", 200, 220, delay="300ms")
    whole = [record for _, record in observe(run, records)]
    before = [record for at_us, record in observe(run, records) if at_us <= instant_us(212)]
    observer = EffectObserver(RUN)
    observer.resume(before)
    after = [record for _, record in observe(run, records, observer=observer)]
    versions: dict[tuple[str, str, int], FaultEffect | FaultVerdict] = {}
    for record in [*before, *after]:
        key = (type(record).__name__, record.service, record.version)
        assert versions.setdefault(key, record) == record
    assert content(after) == content(whole)


def test_after_a_restart_what_was_final_is_not_said_again() -> None:
    run = simulation(Change(from_s=200, until_s=220, delay_ms=300), seconds=280)
    records = injected("f-1", "http-delay", 200, 220, delay="300ms")
    observer = EffectObserver(RUN)
    observer.resume([record for _, record in observe(run, records)])
    assert observe(run, records, observer=observer) == []


def test_an_open_fault_is_confirmed_before_it_ends_and_its_verdict_is_not_final() -> None:
    run = simulation(Change(from_s=200, until_s=260, delay_ms=300))
    published = observe(run, fault_records("f-1", "http-delay", 200, None, parameters=DELAY))
    assert (verdict(published).verdict, verdict(published).is_final) == ("confirmed", False)
    assert verdict(published).normal_at_us is None


def test_records_of_other_runs_and_lines_of_logs_are_passed_over() -> None:
    observer = EffectObserver(RUN)
    columns: dict[str, Any] = dict.fromkeys(LAYOUTS["logs"].numbers, b"")
    lines = LogBatch(run_id=RUN, service=ROOT, instances=(), templates=(), bodies=(), **columns)
    observer.telemetry(lines)
    observer.fault(replace(fault_records("f-1", "noop", 5, 10)[0], run_id="run-2"))
    assert observer.advance(instant_us(100)) == []


def test_a_service_that_gets_fewer_requests_alone_confirms_no_fault() -> None:
    run = simulation(Change(from_s=200, until_s=220, is_paused=True))
    records = injected("f-1", "http-delay", 200, 220, delay="300ms")
    behind = [record for record in records if record.service == BEHIND]
    published = observe(run, behind)
    assert effects(published)[BEHIND].finding == "visible"
    assert verdict(published).verdict == "inconclusive"
