"""One recorded run and its dataset, for all tests that only look at them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.datasets import rebuild
from microservo.testing import MemoryBroker


@pytest.fixture(scope="session")
def recorded() -> MemoryBroker:
    """A broker with one finished run, `run-1`, on three partitions."""
    broker = MemoryBroker()
    record_run(broker, Story(seconds=90))
    return broker


@pytest.fixture(scope="session")
def original(recorded: MemoryBroker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of `recorded`; not to be changed."""
    folder = tmp_path_factory.mktemp("datasets") / "run-1"
    rebuild(recorded, run_id="run-1", out_dir=folder)
    return folder


@pytest.fixture
def dataset(original: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may spoil."""
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    return copy
