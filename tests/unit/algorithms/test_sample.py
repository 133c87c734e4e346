from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from microservo.algorithms import sample as sample_module
from microservo.algorithms.sample import SAMPLE, Sample
from microservo.cli.algorithm import check
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms import kinds_of_local_targets

MOST_BYTES = 8 << 20
ROOT = Path(__file__).resolve().parents[3]
CAME_LATER: frozenset[str] = frozenset()
"""Kinds that were made after the recording: the next one is to have them."""


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample.read()


def test_it_says_of_which_run_it_is(sample: Sample) -> None:
    assert {"seed", "machines", "loads", "versions", "target"} <= set(sample.about)
    assert sample.about["machines"][0]["cpu_model"]
    assert sample.window_us == 5_000_000


def test_what_algorithms_read_names_no_fault_and_no_truth(sample: Sample) -> None:
    columns = pq.read_schema(SAMPLE / "windows.parquet").names
    assert columns == ["service", "service_kind", "start_us", "end_us", "names", "values"]
    kinds = {effect.kind for effect in sample.effects}
    assert not any(kind in name for window in sample.windows for name in window.names for kind in kinds)


def test_windows_come_in_order_of_time_and_each_has_a_truth(sample: Sample) -> None:
    keys = [(window.start_us, window.service) for window in sample.windows]
    assert keys == sorted(set(keys))
    truths = {sample.truth[window.service, window.start_us] for window in sample.windows}
    assert truths == {"anomalous", "normal", "masked"}


def test_nothing_was_wrong_while_thresholds_are_found(sample: Sample) -> None:
    first_us = min(effect.applied_us for effect in sample.effects)
    assert sample.windows[0].start_us < sample.fault_free_until_us <= first_us
    last_us = sample.fault_free_until_us - sample.window_us
    early = {truth for (_, start_us), truth in sample.truth.items() if start_us <= last_us}
    assert early == {"normal"}


def test_every_kind_that_breaks_a_service_is_in_it_and_so_it_is_said(sample: Sample) -> None:
    faults = sample.about["faults"]
    breaking = {kind for kind in kinds_of_local_targets() if kind != "noop" and not KINDS[kind].on_telemetry}
    assert set(faults) == breaking - CAME_LATER
    said = f"{sum(faults.values())} faults of {len(faults)} kinds"
    words = " ".join((ROOT / "docs/adding_an_algorithm.md").read_text("utf-8").split())
    assert f"recorded run with {said} in it" in words
    assert f"with {said}, to try" in (sample_module.__doc__ or "")
    assert f"a run with {said} in it" in " ".join((check.help or "").split())


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < MOST_BYTES


def test_what_is_written_is_read_again(sample: Sample, tmp_path: Path) -> None:
    few = replace(sample, windows=sample.windows[:20])
    few.write(tmp_path / "sample")
    # Some values are NaN, which is like nothing.
    assert repr(Sample.read(tmp_path / "sample")) == repr(few)


def test_without_a_sample_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no sample can be read in .*python -m benchmarks.sample"):
        Sample.read(tmp_path)
