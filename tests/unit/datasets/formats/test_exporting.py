"""What holds of every format: the same bytes each time, nothing by halves, and what is lost is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_dataset import FAULTS, HOST, SERVICES, Made, write_dataset

from microservo.datasets import export
from microservo.datasets.formats.names import read_names
from microservo.datasets.formats.registry import format_named
from microservo.domain.datasets.formats import FORMATS, Exported
from microservo.errors import InvalidInput

Exports = Callable[[str], tuple[Path, Exported]]


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_two_exports_have_the_same_bytes(name: str, made: Path, exported: Exports, tmp_path: Path) -> None:
    first, _ = exported(name)
    export(made, format_name=name, out_dir=tmp_path / "again", progress=lambda *_: None)
    assert written(tmp_path / "again") == written(first)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_is_told_and_what_is_lost_is_listed(name: str, exported: Exports) -> None:
    folder, found = exported(name)
    assert found.format_name == name == format_named(name).name
    assert set(found.files) == written(folder).keys()
    text = (folder / "loss.md").read_text("utf-8")
    assert found.losses
    assert all(f"- {each}\n" in text for each in found.losses)
    assert "made-run" in text


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"huggingface", "tsb-ad-m"}))
def test_names_that_a_format_forbids_come_back_by_the_file(name: str, exported: Exports) -> None:
    folder, _ = exported(name)
    services = read_names(folder / "names.csv")["service"]
    assert sorted(services.values()) == sorted((*SERVICES, HOST))
    assert len({each.casefold() for each in services}) == len(services)


# Faults of that run lie too close to one another for RCABench.
@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"rcabench"}))
def test_a_recorded_run_is_exported(name: str, original: Path, tmp_path: Path) -> None:
    steps: list[tuple[float, float]] = []
    found = export(
        original,
        format_name=name,
        out_dir=tmp_path / "out",
        progress=lambda *step: steps.append(step),
    )
    assert {"names.csv", "loss.md"} < set(found.files)
    assert steps[-1][0] == steps[-1][1] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_in_which_nothing_happened_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "empty", Made(seconds=0, faults=()))
    with pytest.raises(InvalidInput, match="run made-run holds no ") as refused:
        export(tmp_path / "empty", format_name=name, out_dir=tmp_path / "out", progress=lambda *_: None)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut_off_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("table", ["windows.parquet", "metrics.parquet", "faults.parquet"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [(flip_a_bit, "SHA-256"), (cut_off_the_end, "bytes with"), (Path.unlink, "missing")],
)
def test_a_table_that_is_missing_or_damaged_is_named_in_one_line(
    table: str, damage: Callable[[Path], None], words: str, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    damage(tmp_path / "copy" / table)
    with pytest.raises(InvalidInput, match=f"is damaged: {table}: .*{words}.*; rebuild") as refused:
        export(tmp_path / "copy", format_name="nezha", out_dir=tmp_path / "out", progress=lambda *_: None)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def refuse(folder: Path, out_dir: Path, words: str, name: str = "nab") -> None:
    with pytest.raises(InvalidInput, match=words):
        export(folder, format_name=name, out_dir=out_dir, progress=lambda *_: None)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, tmp_path / "out", "is no dataset")


def test_a_folder_that_holds_something_is_left_alone(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    refuse(made, tmp_path, "is not empty; give a new folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_nothing_is_written_into_the_dataset_itself(made: Path) -> None:
    refuse(made, made / "nab", "lies in the dataset")


def test_a_format_that_there_is_not_is_refused_with_those_there_are(made: Path, tmp_path: Path) -> None:
    refuse(made, tmp_path / "out", r"no format is called 'csv'; choose one of \[.*'nab'", "csv")


def test_a_table_with_other_columns_is_named_even_where_the_manifest_agrees(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    from microservo.datasets.formats.source import Source  # noqa: PLC0415

    folder = tmp_path / "dataset"
    write_dataset(folder, Made(seconds=20, faults=FAULTS[:1]))
    source = Source(folder)
    pq.write_table(pq.read_table(folder / "logs.parquet").drop_columns(["body"]), folder / "logs.parquet")
    with pytest.raises(
        InvalidInput, match=r"logs\.parquet can't be read: columns .*, expected time, service"
    ):
        source.table("logs.parquet", "body")
