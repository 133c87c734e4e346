from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.truth.claims import Claim, Holds, quantile_claim, share_claim, write
from benchmarks.truth.report import (
    SENTENCES,
    injection_claims,
    injection_facts,
    journal_facts,
    leak_facts,
    placebo_claims,
    placebo_facts,
)
from benchmarks.truth.shares import Share
from benchmarks.truth.trials import S


def placebo_line(
    number: int, *, verdict: str = "inconclusive", affected: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "journeys_per_s": 4.0,
        "recording": "run-1",
        "trial": {
            "contract": "http-abort weak",
            "number": number,
            "length_s": 10,
            "applied_us": number // 2 * 10 * S,
        },
        "verdict": verdict,
        "affected": affected,
    }


def injected_line(**given: Any) -> dict[str, Any]:
    line = {
        "kind": "http-abort",
        "strength": "default",
        "length_s": 2,
        "overlapped": "",
        "verdict": "confirmed",
        "calls": 20,
        "acted": None,
        "has_twin": True,
        "first_us": 5_000_000,
        "seen_us": 5_020_000,
    }
    return {**line, **given}


def of(claims: list[Claim], asked: str) -> dict[str, tuple[str, float | None]]:
    return {claim.of: (claim.count, claim.value) for claim in claims if claim.asked == asked}


def test_false_alarms_are_counted_by_contract_length_and_rate() -> None:
    lines = [placebo_line(number) for number in range(98)]
    lines += [placebo_line(98, verdict="confirmed", affected=("a", "b")), placebo_line(99, affected=("a",))]
    claims = list(placebo_claims(lines))
    assert of(claims, "false confirmed")["http-abort weak"] == ("1 of 100", 1.0)
    assert of(claims, "false affected")["http-abort weak"] == ("2 of 100", 2.0)
    assert of(claims, "false affected")["all contracts, 10 s"] == ("2 of 100", 2.0)
    assert of(claims, "false affected")["all contracts, 2 s"] == ("0 of 0", None)
    assert of(claims, "false affected")["all contracts, 4 journeys/s"] == ("2 of 100", 2.0)
    assert list(placebo_claims([])) == []


def test_what_was_measured_on_several_days_says_when_and_with_which_seeds() -> None:
    lines = [
        {"at": "2026-11-27 01:10", "seed": 12},
        {"at": "2026-11-26 20:52", "seed": 11},
        {"at": "2026-11-26 21:05", "seed": 11},
    ]
    (fact,) = journal_facts({"injections": lines, "leaks": []})
    assert fact == "injections: 2026-11-26 20:52 to 2026-11-27 01:10 UTC, seed 11, 12"


def test_stretches_of_time_that_overlap_are_counted_once() -> None:
    (fact,) = placebo_facts([placebo_line(number) for number in range(100)])
    assert "at least 50 of 100 don't overlap" in fact
    assert list(placebo_facts([])) == []


def test_faults_that_need_calls_count_only_where_they_came() -> None:
    lines = [
        injected_line(),
        injected_line(calls=2, verdict="inconclusive"),
        injected_line(length_s=5, verdict="inconclusive"),
        injected_line(kind="process-kill", calls=0),
        injected_line(acted=2, verdict="inconclusive"),
        injected_line(acted=3),
    ]
    claims = list(injection_claims(lines))
    assert of(claims, "confirmed") == {
        "http-abort": ("2 of 3", pytest.approx(200 / 3)),
        "process-kill": ("1 of 1", 100.0),
        "all kinds": ("3 of 4", 75.0),
    }
    assert of(claims, "confirmed within 2 s")["http-abort"] == ("2 of 2", 100.0)
    assert "2 of 6 real faults met or changed fewer than 3 requests, and are not counted" in injection_facts(
        lines
    )


def test_what_was_seen_is_held_against_the_twin() -> None:
    lines = [injected_line(seen_us=5_000_000 + 1000 * late_ms) for late_ms in (-20, 40, 60)]
    lines += [injected_line(first_us=None), injected_line(seen_us=None), injected_line(has_twin=False)]
    lines[-1]["first_us"] = None
    claims = list(injection_claims(lines))
    assert of(claims, "effect seen")["time from the twin's record, median"] == ("3 effects", 40.0)
    assert list(injection_facts(lines))[1:] == [
        "of 5 faults with a twin, 4 changed a record, and 3 were seen"
    ]


def test_a_weak_fault_that_failed_requests_may_be_confirmed_for_them() -> None:
    weak = {"overlapped": "network-delay", "strength": "weak"}
    lines = [
        injected_line(**weak, acted=3),
        injected_line(**weak, acted=1),
        injected_line(**weak, kind="network-delay", verdict="ineffective"),
    ]
    assert of(list(injection_claims(lines)), "weak and idle faults under another one") == {
        "http-abort weak": ("1 of 1", 100.0),
        "network-delay weak": ("0 of 1", 0.0),
        "all of them": ("1 of 2", 50.0),
    }


@pytest.mark.parametrize(
    ("count", "total", "holds"),
    [(0, 500, "yes"), (4, 500, "likely"), (7, 500, "unlikely"), (50, 500, "no"), (0, 0, "not measured")],
)
def test_a_claim_holds_surely_only_where_its_whole_interval_does(
    count: int, total: int, holds: Holds
) -> None:
    assert share_claim("false", "all", Share(count=count, total=total), 1.0, at_most=True).holds == holds
    kept = Share(count=total - count, total=total)
    assert share_claim("kept", "all", kept, 99.0, at_most=False).holds == holds


def test_the_interval_of_a_quantile_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    for share in (0.5, 0.95):
        true = -np.log(1 - share)
        claims = [quantile_claim("x", "x", rng.exponential(size=80).tolist(), share, 1) for _ in range(400)]
        held = np.mean([claim.low <= true <= claim.high for claim in claims])
        assert 0.91 < held < 0.99


def test_results_say_what_was_asked_for_in_words_and_in_numbers(tmp_path: Path) -> None:
    claims = list(placebo_claims([placebo_line(number) for number in range(500)]))
    write(claims, SENTENCES, ["a machine"], tmp_path, name="truth", title="Truth", command="python")
    text = (tmp_path / "truth.md").read_text("utf-8")
    assert SENTENCES["false confirmed"] in text
    assert "| http-abort weak | 0 of 500 | 0 % | 0 to 0.762 % | ≤ 1 % | yes |" in text
    assert json.loads((tmp_path / "truth.json").read_text("utf-8"))[0]["holds"] == "yes"


def test_the_facts_say_how_anomalous_windows_are_spread_over_the_services() -> None:
    anomalous = {"cartservice": "2 of 9", "frontend": "5 of 10"}
    spread, hindsight = leak_facts([{"anomalous": anomalous, "hindsight": 0.625}])
    assert spread.endswith("for leaks: cartservice 2 of 9, frontend 5 of 10")
    assert hindsight.endswith("has an area of 0.625")
