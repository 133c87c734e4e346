"""A made-up dataset, and exports of it, for all tests that only look at them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from made_dataset import write_dataset

from microservo.datasets import export
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dataset; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(folder)
    return folder


@pytest.fixture(scope="session")
def exported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The folder of its export in a format, and what was said of it; made once."""
    done: dict[str, tuple[Path, Exported]] = {}

    def exported(name: str) -> tuple[Path, Exported]:
        if name not in done:
            folder = tmp_path_factory.mktemp("exported") / name
            found = export(made, format_name=name, out_dir=folder, progress=lambda *_: None)
            done[name] = (folder, found)
        return done[name]

    return exported


@pytest.fixture(scope="session")
def rows() -> Rows:
    """The rows of a CSV file, as Python's own reader has them."""

    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))

    return rows
