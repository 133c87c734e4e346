"""A finished run becomes a dataset, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.adapters.broker import Message
from microservo.datasets import read_manifest, verify
from microservo.errors import Retryable
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker
from schemas.catalogue import EXPERIMENTS
from schemas.codec import encode
from schemas.records import Experiment
from services.archiver.handlers import Archive
from services.archiver.service import run as run_archiver
from services.archiver.settings import ArchiverSettings


@pytest.fixture(scope="module")
def recorded() -> tuple[MemoryBroker, Experiment]:
    broker = MemoryBroker()
    return broker, record_run(broker, Story(seconds=20))


def archive_of(broker: MemoryBroker, folder: Path, shutdown: Shutdown | None = None) -> Archive:
    return Archive(broker, folder, "", shutdown=shutdown or Shutdown(signals=()), on_step=lambda: None)


def messages_of(run: Experiment) -> list[Message]:
    value = encode(run)
    return [Message(topic=EXPERIMENTS, partition=0, offset=0, timestamp_us=0, key=b"", value=value)]


def test_a_finished_run_is_archived(recorded: tuple[MemoryBroker, Experiment], tmp_path: Path) -> None:
    broker, run = recorded
    archive_of(broker, tmp_path / "new").handle(messages_of(run))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run-1"]
    assert verify(tmp_path / "new" / "run-1") == []


def test_a_run_that_goes_on_or_was_given_up_is_not(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    broker, run = recorded
    archive_of(broker, tmp_path).handle([*messages_of(replace(run, status="running"))])
    archive_of(broker, tmp_path).handle([*messages_of(replace(run, status="aborted"))])
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_verifies_is_left_alone(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    broker, run = recorded
    archive = archive_of(broker, tmp_path)
    archive.handle(messages_of(run))
    before = (tmp_path / "run-1").stat().st_ino
    archive.handle(messages_of(run))
    assert (tmp_path / "run-1").stat().st_ino == before


def test_a_dataset_that_does_not_verify_is_put_aside(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    broker, run = recorded
    archive = archive_of(broker, tmp_path)
    archive.handle(messages_of(run))
    (tmp_path / "run-1" / "report.html").write_text("changed")
    archive.handle(messages_of(run))
    assert verify(tmp_path / "run-1") == []
    assert (tmp_path / "run-1.unverified-1" / "report.html").read_text() == "changed"


@pytest.mark.parametrize("run_id", ["../escape", "", ".hidden", "a/b"])
def test_a_run_can_not_name_a_folder_elsewhere(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path, run_id: str
) -> None:
    broker, run = recorded
    archive_of(broker, tmp_path / "in").handle(messages_of(replace(run, run_id=run_id)))
    assert not list(tmp_path.glob("**/*"))


def test_a_run_that_can_not_be_had_does_not_stop_the_others(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    broker, run = recorded
    archive_of(broker, tmp_path).handle([*messages_of(replace(run, run_id="run-9")), *messages_of(run)])
    assert [path.name for path in tmp_path.iterdir()] == ["run-1"]


def test_what_is_no_run_is_passed_over(recorded: tuple[MemoryBroker, Experiment], tmp_path: Path) -> None:
    broker, run = recorded
    archive_of(broker, tmp_path).handle([messages_of(run)[0]._replace(value=b"garbage")])
    archive_of(broker, tmp_path).handle([messages_of(run)[0]._replace(value=None)])
    assert list(tmp_path.iterdir()) == []


def test_shutdown_ends_a_rebuild_and_leaves_nothing(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    broker, run = recorded
    shutdown = Shutdown(signals=())
    shutdown.request()
    with pytest.raises(Retryable, match="shutdown"):
        archive_of(broker, tmp_path, shutdown).handle(messages_of(run))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_archiver_left_is_removed(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    (tmp_path / "..run-1.fresh.partial-abc").mkdir()
    (tmp_path / "run-0").mkdir()
    archive_of(recorded[0], tmp_path).clean()
    assert [path.name for path in tmp_path.iterdir()] == ["run-0"]


def test_the_process_archives_what_is_on_the_topic_already(
    recorded: tuple[MemoryBroker, Experiment], tmp_path: Path
) -> None:
    shutdown = _UntilThere(tmp_path / "run-1" / "manifest.json")
    run_archiver(ArchiverSettings(archive_dir=tmp_path), shutdown, broker=recorded[0])
    assert read_manifest(tmp_path / "run-1").run.run_id == "run-1"


class _UntilThere(Shutdown):
    """Requested once a file is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(signals=())
        self._path = path

    @property
    def requested(self) -> bool:
        return self._path.exists()
