"""From the labelled cases of a recorded run to a classifier that has learned from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scored_run import SIZE_US
from taught_run import CENTROIDS, DECLARATION, TaughtRun

from microservo.algorithms import resolve
from microservo.algorithms.declaration import declaration_of
from microservo.algorithms.training import Training, read_training
from microservo.algorithms.unfenced import unfenced_session
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.trained_on import training_for
from microservo.application.training import training_of
from microservo.client import Client
from microservo.errors import InvalidInput, InvalidMessage
from microservo.log.run_records import write_run
from microservo.testing import MemoryBroker
from schemas.catalogue import FEATURE_WINDOWS, topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import FaultEffect, FaultVerdict, RunStatus, ServiceFault


@pytest.fixture
def training() -> Training:
    return training_of(TaughtRun(), declaration_of(DECLARATION))


def test_each_fault_that_was_seen_is_a_case_at_once_and_as_it_was_in_the_end(training: Training) -> None:
    assert training.run_id == "run-before"
    assert sorted((*each.case.features, each.kind) for each in training.lessons) == [
        *[("cart", "http-delay")] * 4,
        *[("cart", "memory-hog")] * 4,
    ]
    first, whole = (each.case for each in training.lessons[:2])
    assert first.start_us[-1] == first.alarm_us == whole.alarm_us
    assert whole.start_us[-1] == whole.alarm_us + 3 * SIZE_US


def test_what_is_sent_is_what_is_taught(training: Training) -> None:
    content = training.pack()
    found = Training.unpack(content)
    assert found.pack() == content
    for one, other in zip(found.lessons, training.lessons, strict=True):
        assert (one.kind, one.case.alarm_us) == (other.kind, other.case.alarm_us)
        assert list(one.case.features) == ["cart"]
        np.testing.assert_array_equal(one.case.features["cart"][1], other.case.features["cart"][1])


@pytest.mark.parametrize("content", [b"", b"x", Training(run_id="r", lessons=[]).pack()[:-3]])
def test_bytes_that_are_no_lessons_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidMessage, match="deploy it again with --train-on"):
        Training.unpack(content)


def test_a_classifier_that_was_taught_tells_the_kinds_apart(training: Training, tmp_path: Path) -> None:
    (tmp_path / "centroids.py").write_text(CENTROIDS)
    plugin = resolve(str(tmp_path / "centroids.py"), DECLARATION)
    with unfenced_session(plugin) as session:
        session.open()
        training.teach(session, "run-1")
        for lesson in training.lessons:
            found = session.classify(lesson.case)
            assert max(found, key=lambda kind: found[kind]) == lesson.kind


def test_a_run_is_not_judged_by_who_was_taught_by_it(training: Training, tmp_path: Path) -> None:
    (tmp_path / "centroids.py").write_text(CENTROIDS)
    with (
        unfenced_session(resolve(str(tmp_path / "centroids.py"), DECLARATION)) as session,
        pytest.raises(InvalidInput, match="trained on run 'run-before', the one that it would be judged on"),
    ):
        training.teach(session, "run-before")


@pytest.mark.parametrize("kinds", [{}, {20: "memory-hog", 60: "memory-hog"}])
def test_a_run_without_two_kinds_of_faults_teaches_nothing(kinds: dict[int, str]) -> None:
    with pytest.raises(InvalidInput, match="expected faults of two kinds"):
        training_of(TaughtRun(kinds=kinds), declaration_of(DECLARATION))


def test_a_classifier_without_a_dataset_is_refused_and_so_is_a_dataset_for_another_task(
    tmp_path: Path,
) -> None:
    client = Client(broker=MemoryBroker())
    client.topics.ensure(partitions=1)
    with pytest.raises(InvalidInput, match=r"has to be trained .* --train-on DATASET"):
        client.algorithms.deploy("gradient-boosting")
    with pytest.raises(InvalidInput, match=r"run-9 is neither .* dataset nor a run .* runs list"):
        client.algorithms.deploy("gradient-boosting", train_on="run-9")
    with pytest.raises(InvalidInput, match="for a detector; only a classifier is trained"):
        client.algorithms.deploy("n-sigma", train_on=tmp_path)
    assert client.algorithms.list() == ()


def test_what_a_classifier_is_trained_on_goes_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("microservo.datasets.recording.RecordedDataset", lambda _folder: TaughtRun())
    broker = MemoryBroker()
    client = Client(broker=broker)
    client.topics.ensure(partitions=1)
    (tmp_path / "centroids.py").write_text(CENTROIDS)
    deployed = client.algorithms.deploy(str(tmp_path / "centroids.py"), train_on=tmp_path, task="classifier")
    sent = read_training(deployed, broker, "algorithm-files", tmp_path)
    assert sent is not None
    assert len(sent.lessons) == 8
    client.algorithms.remove(deployed.algorithm)
    with pytest.raises(InvalidMessage, match="0 of 1 parts"):
        read_training(deployed, broker, "algorithm-files", tmp_path / "elsewhere")
    # A host that runs until the next version has caught up goes on with what it has.
    assert read_training(deployed, broker, "algorithm-files", tmp_path) is not None


def test_a_run_that_goes_on_teaches_nothing_and_one_that_is_over_does() -> None:
    broker = MemoryBroker()
    client = Client(broker=broker)
    client.topics.ensure(partitions=1)
    run, context = TaughtRun(), Context(lambda: Connection(broker=broker, topic_prefix=""))
    plugin = resolve("gradient-boosting")

    def write(status: RunStatus) -> None:
        changed = replace(run.run, status=status, start_offsets={})
        write_run(broker, changed, process="system", clock=lambda: 1)

    write("running")
    for name in ("run-before", "latest"):
        with pytest.raises(InvalidInput, match=r"run run-before goes on.*take a run that is over"):
            training_for(plugin, name, context)
    write("finished")
    with broker.producer() as producer:
        for window, _ in run.windows():
            producer.send(FEATURE_WINDOWS, key=window.service.encode(), value=encode(window))
        for record in run.facts():
            if isinstance(record, ServiceFault | FaultEffect | FaultVerdict):
                topic = topic_of(record_name(type(record))).name
                producer.send(topic, key=record.service.encode(), value=encode(record))
        producer.flush(5)
    found = training_for(plugin, "run-before", context)
    assert found is not None
    assert found.pack() == training_of(run, plugin.declaration).pack()
