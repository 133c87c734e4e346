"""A dataset shows algorithms and the board what the log does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microservo.datasets import read_manifest
from microservo.datasets.recording import RecordedDataset
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.errors import InvalidInput
from microservo.log.recorded_run import RecordedRun
from microservo.testing import MemoryBroker
from schemas.records import AnomalyScore, Evaluation, FeatureWindow, LabelledWindow


@pytest.fixture(scope="module")
def log(recorded: MemoryBroker) -> RecordedRun:
    return RecordedRun(recorded, "run-1")


@pytest.fixture(scope="module")
def dataset(original: Path) -> RecordedDataset:
    return RecordedDataset(original)


def test_algorithms_are_given_the_first_revisions_as_they_were_live(
    log: RecordedRun, dataset: RecordedDataset
) -> None:
    facts = (fact for fact in log.facts() if isinstance(fact, LabelledWindow) and fact.revision == 0)
    live = {(fact.start_us, fact.service): (fact.names, fact.values) for fact in facts}
    replayed = [window for window, _ in dataset.windows()]
    places = [(each.start_us, each.service) for each in replayed]
    assert len(replayed) > 50
    assert places == sorted(places)
    assert [repr((each.names, each.values)) for each in replayed] == [repr(live[place]) for place in places]
    assert {each.service_kind for each in replayed} == {"service", "load_generator"}


def test_some_of_them_were_not_final_then(dataset: RecordedDataset, original: Path) -> None:
    """Else the test above would say little."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    revisions = pq.read_table(original / "window_revisions.parquet").to_pylist()
    assert any(
        each["revision"] == 0 and each["feature_names"] is not None and not each["final"]
        for each in revisions
    )


def evaluated(recording: RecordedRun | RecordedDataset, windows: list[FeatureWindow]) -> Evaluation:
    """What is found of an algorithm that scores by the first feature."""
    evaluation = RunEvaluation("run-1", name="same")
    # What is final in a dataset that goes on to the last record is not yet final on the log.
    facts: list[Read] = [replace(recording.run, finished_at_us=None), *recording.facts()]
    for fact in facts:
        evaluation.add(fact)
    for window in windows:
        evaluation.add(
            AnomalyScore(
                run_id="run-1",
                service=window.service,
                start_us=window.start_us,
                end_us=window.end_us,
                revision=0,
                algorithm="first",
                score=next((each for each in window.values if each == each), 0.0),  # noqa: PLR0124 -- NaN
                scored_at_us=window.end_us,
                latency_us=0,
                algorithm_version=1,
                input_sha256="",
            )
        )
    (found,) = evaluation.evaluations(at_us=0, cost="batch")
    return found


def test_both_are_judged_by_the_same_truth(log: RecordedRun, dataset: RecordedDataset) -> None:
    windows = [window for window, _ in dataset.windows()]
    by_data = evaluated(dataset, windows)
    by_log = evaluated(log, windows)
    assert by_data.cases > 0
    assert (by_data.metrics, repr(by_data.values)) == (by_log.metrics, repr(by_log.values))


def test_its_scenario_is_named_by_run_and_content(dataset: RecordedDataset, original: Path) -> None:
    assert dataset.name == f"run-1:{read_manifest(original).content_hash[:12]}"
    assert list(dataset.graphs())


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        RecordedDataset(tmp_path)
