from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.truth.leaks import Envelope, chance, constant_in_hindsight, leaks, problems
from benchmarks.truth.shares import Share, area_under_curve

S = 1_000_000


def windows(seed: int = 7) -> list[Envelope]:
    """Ten services, each anomalous in a tenth of its windows; nothing of the envelope tells which."""
    rng = random.Random(seed)
    return [
        Envelope(
            service=f"service-{number}",
            start_us=at * 5 * S,
            names=("count", "errors", *(["rare"] if rng.random() < 0.3 else [])),
            size_bytes=rng.randrange(300, 310),
            gap_us=5 * S + rng.randrange(-1000, 1000),
            order=rng.randrange(4),
            offsets=10 + rng.randrange(3),
            is_anomalous=rng.random() < 0.1,
        )
        for at in range(200)
        for number in range(10)
    ]


def test_where_the_envelope_says_nothing_no_score_tells_windows_apart() -> None:
    areas = leaks(windows())
    assert set(areas) == {
        "constant per service",
        "names",
        "number of features",
        "size",
        "gap",
        "order",
        "offsets",
    }
    assert all(area == pytest.approx(0.5, abs=4 * chance(windows())) for area in areas.values()), areas
    assert problems(areas) == []


@pytest.mark.parametrize(
    ("leak", "change"),
    [
        ("names", {"names": ("count", "errors", "retry")}),
        ("number of features", {"names": ("count",)}),
        ("size", {"size_bytes": 290}),
        ("gap", {"gap_us": 5 * S - 40_000}),
        ("order", {"order": 7}),
        ("offsets", {"offsets": 40}),
    ],
)
def test_what_differs_under_faults_but_the_values_is_found(leak: str, change: dict[str, object]) -> None:
    told = [replace(each, **change) if each.is_anomalous else each for each in windows()]  # type: ignore[arg-type]
    areas = leaks(told)
    assert areas[leak] > 0.9
    assert any(text.startswith(f"{leak} alone") for text in problems(areas))
    assert not any(text.startswith(f"{leak} alone") for text in problems(areas, margin=0.5))


def test_how_a_run_begins_is_no_leak() -> None:
    """Before any fault, names are being learned and windows catch up."""
    begun_us = 50 * 5 * S
    told = [
        replace(each, names=("count",), size_bytes=200, gap_us=S, is_anomalous=False)
        if each.start_us < begun_us
        else each
        for each in windows()
    ]
    assert problems(leaks(told)) == []


def test_labels_that_follow_the_topology_are_found() -> None:
    """One service is anomalous far more often than the others, at any time."""
    rng = random.Random(1)
    told = [
        replace(each, is_anomalous=rng.random() < (0.8 if each.service == "service-0" else 0.05))
        for each in windows()
    ]
    areas = leaks(told)
    assert areas["constant per service"] > 0.7
    assert [text.split(" alone")[0] for text in problems(areas)] == ["constant per service"]


def test_the_best_constant_in_hindsight_is_at_least_as_good_as_one_that_was_learned() -> None:
    found = windows()
    hindsight = constant_in_hindsight(found)
    assert hindsight is not None
    assert hindsight >= 0.5
    assert leaks(found)["constant per service"] <= hindsight


def test_a_score_learned_on_the_windows_that_it_judges_is_no_leak() -> None:
    """With few windows, chance alone seems to tell them apart: so no block is judged by itself."""
    few = [each for each in windows(seed=3) if each.start_us < 12 * 5 * S]
    assert leaks(few)["constant per service"] < 0.65


def test_the_area_under_the_curve_counts_ties_by_half() -> None:
    positive = np.array([True, False, True, False])
    assert area_under_curve(np.array([4.0, 1.0, 3.0, 2.0]), positive) == 1.0
    assert area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), positive) == 0.5
    assert area_under_curve(np.array([1.0, 2.0]), np.array([True, True])) is None


def test_a_share_has_the_interval_that_its_count_allows() -> None:
    low, high = Share(count=0, total=500).interval
    assert low == 0.0
    assert high == pytest.approx(0.0076, abs=1e-4)
    low, high = Share(count=19, total=20).interval
    assert low == pytest.approx(0.764, abs=1e-3)
    assert high == pytest.approx(0.991, abs=1e-3)
    assert Share(count=7, total=7).interval[1] == 1.0
    assert Share(count=0, total=0).value is None
