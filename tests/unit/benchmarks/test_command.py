"""The command line that benchmarks have in common."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.command import run
from benchmarks.figures import Figure, figure


def measured(folder: Path, given: Namespace) -> Iterator[Figure]:
    assert folder.is_dir()
    yield figure("sums", given.times, "ms", peer="asked for", peer_value=4.0, command="python -m sums")


@pytest.fixture
def parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m sums")
    parser.add_argument("--times", type=float, default=2.0)
    return parser


def test_figures_are_printed_and_written_where_a_folder_is_given(
    parser: ArgumentParser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["sums", "--times", "3", "--out", str(tmp_path / "new")])
    assert run(parser, measured, name="sums", title="What sums cost") == 0
    assert "What sums cost" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "new" / "sums.json").read_text())
    assert (found["value"], found["ratio"]) == (3.0, 0.75)
    assert (tmp_path / "new" / "sums.md").read_text().startswith("# What sums cost")


def test_nothing_is_written_without_a_folder(
    parser: ArgumentParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["sums"])
    assert run(parser, measured, name="sums", title="What sums cost") == 0
    assert list(tmp_path.iterdir()) == []
