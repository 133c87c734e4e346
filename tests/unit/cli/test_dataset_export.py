"""Datasets in formats of others, on the command line and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result
from made_dataset import write_dataset

from microservo.cli.completions import complete_format
from microservo.client.client import Client
from microservo.domain.datasets.formats import FORMATS
from microservo.testing import MemoryBroker

Run = Callable[..., Result]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "dataset")
    return tmp_path / "dataset"


def test_a_dataset_is_exported_with_progress_and_where_the_loss_stands(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "nab"
    result = run("dataset", "export", str(dataset), "--format", "nab", "--out", str(out))
    assert result.exit_code == 0, result.output
    files = len([path for path in out.rglob("*") if path.is_file()])
    assert result.stdout == f"{files} files in {out}; {out / 'loss.md'} says what is not in them\n"
    assert "export" in result.stderr


def test_what_is_wrong_is_one_line_and_refused(run: Run, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    for name, out, words in (
        ("nab", "taken", "is not empty; give a new folder or remove it"),
        ("csv", "out", "no format is called 'csv'; choose one of"),
    ):
        result = run("dataset", "export", str(dataset), "--format", name, "--out", str(tmp_path / out))
        assert result.exit_code == 2
        (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
        assert words in line


def test_help_shows_every_format_and_an_example(run: Run) -> None:
    shown = run("dataset", "export", "--help").stdout
    assert all(name in shown for name in FORMATS)
    assert "microservo dataset export ./dataset --format rcaeval --out ./RE2-OB" in shown


def test_formats_are_completed_with_what_they_are() -> None:
    ctx, parameter = click.Context(click.Command("export")), click.Argument(["name"])
    assert [each.value for each in complete_format(ctx, parameter, "")] == list(FORMATS)
    (found,) = complete_format(ctx, parameter, "tsb")
    assert (found.value, found.help) == ("tsb-ad-m", FORMATS["tsb-ad-m"])


def test_the_client_exports_too_and_says_what_is_lost(
    broker: MemoryBroker, dataset: Path, tmp_path: Path
) -> None:
    steps: list[tuple[float, float]] = []
    found = Client(broker=broker).datasets.export(
        dataset, "tsb-ad-m", tmp_path / "out", progress=lambda *step: steps.append(step)
    )
    assert found.losses
    assert {"loss.md", "series.csv", "File_List/TSB-AD-M.csv"} < set(found.files)
    assert steps[-1][0] == steps[-1][1] > 0
