"""A dataset shows algorithms and the board what the log does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from microservo.adapters.broker import TopicSpec
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.evaluating import EvaluateAlgorithm
from microservo.application.table import execute
from microservo.datasets import read_manifest
from microservo.datasets.recording import RecordedDataset
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.errors import InvalidInput, Unavailable
from microservo.log.recorded_run import RecordedRun
from microservo.supervision.fence import Fence
from microservo.testing import MemoryBroker
from schemas.catalogue import ALGORITHMS, FEATURE_WINDOWS, catalogue
from schemas.codec import encode
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


def test_the_same_algorithm_gets_the_same_digits_from_log_and_dataset_through_the_fence(
    recorded: MemoryBroker,
    dataset: RecordedDataset,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    config = {name: dict(catalogue()[name].config) for name in (FEATURE_WINDOWS, ALGORITHMS)}
    specs = [TopicSpec(name=name, partitions=1, config=each) for name, each in config.items()]
    recorded.admin().ensure_topics(specs)
    with recorded.producer() as producer:
        for window, _ in dataset.windows():
            producer.send(FEATURE_WINDOWS, key=window.service.encode(), value=encode(window))
        producer.flush(5)
    context = Context(lambda: Connection(broker=recorded, topic_prefix=""))
    # Behind it, what is final in a dataset is not yet final on the log.
    end_us = (dataset.run.finished_at_us or 0) - dataset.run.final_cut_us
    to_at = datetime.fromtimestamp(end_us / 1e6, UTC)
    commands = (
        EvaluateAlgorithm(spec="n-sigma", run_id="run-1", to_at=to_at),
        EvaluateAlgorithm(spec="n-sigma", dataset=original, to_at=to_at),
    )
    by_log, by_dataset = (execute(command, context) for command in commands)
    assert by_log.is_fenced
    assert by_log.scored > 30
    assert by_dataset.scenario.startswith(f"{dataset.name}[")
    assert without_name(by_dataset) == without_name(by_log)


def without_name(found: Evaluation) -> str:
    """To the last digit, whatever it cost."""
    alike = replace(found, evaluation_id="", scenario="", cpu_us=0, peak_memory_bytes=0, updated_at_us=0)
    return repr(alike)


def test_its_scenario_is_named_by_run_and_content(dataset: RecordedDataset, original: Path) -> None:
    assert dataset.name == f"run-1:{read_manifest(original).content_hash[:12]}"
    assert list(dataset.graphs())


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        RecordedDataset(tmp_path)
