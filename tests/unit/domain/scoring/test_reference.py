"""The metrics give what the packages give that define them, and what was published with them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scoring_reference import Case, cases, labels

from microservo.domain.scoring import ANOMALOUS, Classified, Fault, Incident, Series, evaluate_classifier
from microservo.domain.scoring.affiliation import affiliation_metrics
from microservo.domain.scoring.curves import curve_metrics
from microservo.domain.scoring.detection import detection_of
from microservo.domain.scoring.events import event_metrics
from microservo.domain.scoring.nab import PROFILES, best_nab, nab_metrics
from microservo.domain.scoring.point import confusion, point_metrics
from microservo.domain.scoring.point_adjusted import adjusted_f1
from microservo.domain.scoring.ranges import range_metrics, range_recall
from microservo.domain.scoring.series import Judged, judged
from microservo.domain.scoring.volume import volumes

GOLDEN = Path(__file__).parents[3] / "golden" / "scoring"
EXACT = 1e-9
WINDOW_US = 5_000_000
PUBLISHED = {"standard": "standard", "low_fp": "reward_low_FP_rate", "low_fn": "reward_low_FN_rate"}


@cache
def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    return found


@cache
def all_cases() -> dict[str, Case]:
    return cases()


def series_of(name: str, score: Any, truth: Any, flagged: Any) -> Series:
    start_us = np.arange(len(score)) * WINDOW_US
    return Series(
        service=name,
        start_us=start_us,
        end_us=start_us + WINDOW_US,
        score=np.asarray(score, np.float64),
        truth=np.asarray(truth, np.int8),
        flagged=np.asarray(flagged, np.bool_),
    )


def windows_of(case: Case) -> Judged:
    return judged([series_of("cart", case.score, case.truth, case.flagged)])


def volume_values(case: Case) -> dict[str, float]:
    windows = windows_of(case)
    found: dict[str, float] = {}
    for buffer in case.buffers:
        both = volumes(windows.score, windows.is_anomalous, windows.bounds, buffer=buffer)
        found |= {f"vus_pr {buffer}": both.pr, f"vus_roc {buffer}": both.roc}
    return found


def other_values(case: Case) -> dict[str, float]:
    windows = windows_of(case)
    found = {
        name: float(column[0])
        for name, column in {**point_metrics(confusion(windows)), **curve_metrics(windows)}.items()
    }
    found |= {f"pa_{percent}_f1": adjusted_f1(windows, percent) for percent in (0, 10, 20)}
    found["pa_f1"] = found["pa_0_f1"]
    return {
        **found,
        **affiliation_metrics(windows),
        **range_metrics(windows),
        "composite_f1": _composite(case),
    }


def _composite(case: Case) -> float:
    """Each stretch is one incident."""
    series = series_of("cart", case.score, case.truth, case.flagged)
    stretches = judged([series]).runs(series.truth == ANOMALOUS)
    incidents = [
        Incident(
            fault_id=str(first),
            kind="cpu",
            service="cart",
            severity=1,
            start_us=first * WINDOW_US,
            end_us=behind * WINDOW_US,
            applied_us=first * WINDOW_US,
            effect_us=first * WINDOW_US,
        )
        for first, behind in zip(stretches.first.tolist(), stretches.behind.tolist(), strict=True)
    ]
    return float(event_metrics(detection_of([series], incidents))["composite_f1"][0])


@pytest.mark.parametrize("name", golden("tsb")["cases"])
def test_volumes_are_those_of_tsb_ad(name: str) -> None:
    expected = {key: value for key, value in golden("tsb")["cases"][name].items() if key.startswith("vus")}
    assert volume_values(all_cases()[name]) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("name", golden("tsb")["cases"])
def test_other_metrics_of_windows_are_those_of_tsb_ad_scikit_learn_and_tadpak(name: str) -> None:
    expected = {
        key: value for key, value in golden("tsb")["cases"][name].items() if not key.startswith("vus")
    }
    found = other_values(all_cases()[name])
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("name", golden("prts")["cases"])
def test_range_precision_and_recall_are_those_of_prts(name: str) -> None:
    windows = windows_of(all_cases()[name])
    truth, said, bounds = windows.is_anomalous, windows.is_flagged, windows.bounds
    for key, expected in golden("prts")["cases"][name].items():
        what, bias, *alpha = key.split()
        if what == "range_precision":
            found = range_recall(said, truth, bounds, alpha=0, bias=bias)
        else:
            found = range_recall(truth, said, bounds, alpha=float(alpha[0]), bias=bias)
        assert found == pytest.approx(expected, abs=EXACT), key


@pytest.mark.parametrize("seed", golden("tsb")["classes"])
def test_f1_of_classes_is_that_of_scikit_learn(seed: str) -> None:
    actual, predicted = labels(int(seed))
    faults = [
        Fault(fault_id=f"{place:03}", kind=kind, severity=1, answers=frozenset({"cart"}), candidates=3)
        for place, kind in enumerate(actual)
    ]
    said = [
        Classified(case_id=f"{place:03}", fault_id=f"{place:03}", at_us=place, predicted=kind)
        for place, kind in enumerate(predicted)
    ]
    assert evaluate_classifier(faults, said).values == pytest.approx(
        golden("tsb")["classes"][seed], abs=EXACT
    )


def nab_windows(detector: str) -> Judged:
    corpus, found = golden("nab"), []
    for name, file in corpus["files"].items():
        rows, scores = corpus["detectors"][detector].get(name, ([], []))
        score, truth = np.zeros(file["rows"]), np.zeros(file["rows"], np.int8)
        score[rows] = scores
        for first, last in file["windows"]:
            truth[first : last + 1] = 1
        found.append(series_of(name, score, truth, np.zeros(file["rows"], np.bool_)))
    return judged(found)


@pytest.mark.parametrize("profile", PUBLISHED)
@pytest.mark.parametrize("detector", ["windowedGaussian", "skyline", "contextOSE"])
def test_the_published_board_of_nab_comes_out_at_the_best_threshold_and_at_the_published_one(
    detector: str, profile: str
) -> None:
    published = golden("nab")["published"][detector][PUBLISHED[profile]]
    windows = nab_windows(detector)
    best = best_nab(windows, PROFILES[profile])
    assert best.score == pytest.approx(published["score"], abs=EXACT)
    windows.is_flagged[:] = windows.score >= published["threshold"]
    assert nab_metrics(windows)[f"nab_{profile}"] == pytest.approx(published["score"], abs=EXACT)
