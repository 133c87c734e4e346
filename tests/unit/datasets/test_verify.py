"""Whatever is changed in a dataset is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from microservo.datasets import content_hash, read_manifest, verify
from microservo.datasets.facts import ledger_rows, ledger_table
from microservo.datasets.files import write_table
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.manifest import MANIFEST, Manifest, tables_hash
from microservo.errors import InvalidInput


def rewritten(dataset: Path, name: str, table: pa.Table) -> Manifest:
    """Puts another table in place with a manifest that covers it up."""
    manifest = read_manifest(dataset)
    entry = write_table(dataset / name, TABLES[name], [table.cast(TABLES[name])])
    files = tuple(entry if each.name == name else each for each in manifest.files)
    changed = replace(manifest, files=files, content_hash=tables_hash(files))
    (dataset / MANIFEST).write_text(changed.to_json())
    return changed


def test_a_fresh_dataset_has_no_problems(original: Path) -> None:
    assert verify(original) == []
    assert content_hash(original) == read_manifest(original).content_hash


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_changed_byte_is_noticed(dataset: Path, name: str) -> None:
    data = bytearray((dataset / name).read_bytes())
    data[len(data) // 3] ^= 1
    (dataset / name).write_bytes(data)
    assert any(problem.startswith(f"{name}: ") for problem in verify(dataset))


@pytest.mark.parametrize("name", ["report.html", "README.md", "windows.parquet"])
def test_a_missing_file_is_noticed(dataset: Path, name: str) -> None:
    (dataset / name).unlink()
    assert f"{name}: missing" in verify(dataset)


def test_a_file_too_many_is_noticed(dataset: Path) -> None:
    (dataset / "extra.parquet").write_bytes(b"")
    assert verify(dataset) == ["extra.parquet: no part of the dataset"]


def test_a_changed_value_changes_the_content_hash_even_if_the_manifest_is_changed_too(dataset: Path) -> None:
    before = content_hash(dataset)
    metrics = pq.read_table(dataset / "metrics.parquet")
    value = metrics.column_names.index("value")
    rewritten(dataset, "metrics.parquet", metrics.set_column(value, "value", pc.add(metrics["value"], 1e-9)))
    assert content_hash(dataset) != before


def test_other_parquet_bytes_of_the_same_rows_keep_the_content_hash(dataset: Path) -> None:
    before = content_hash(dataset)
    logs = pq.read_table(dataset / "logs.parquet")
    pq.write_table(logs, dataset / "logs.parquet", compression="snappy", use_dictionary=False)
    assert content_hash(dataset) == before
    assert [problem for problem in verify(dataset) if "SHA-256" in problem]


def test_a_ledger_that_does_not_add_up_is_noticed(dataset: Path) -> None:
    rows = list(ledger_rows(dataset / "ledger.parquet"))
    rows[0] = replace(rows[0], in_windows=rows[0].in_windows - 1)
    rewritten(dataset, "ledger.parquet", ledger_table(rows))
    problems = verify(dataset)
    assert len(problems) == 1
    assert "accounted for" in problems[0]


def test_a_ledger_that_lost_a_row_is_noticed_by_the_writers_counts(dataset: Path) -> None:
    rows = list(ledger_rows(dataset / "ledger.parquet"))
    rewritten(dataset, "ledger.parquet", ledger_table(rows[1:]))
    assert any("produced by the writers' stamps" in problem for problem in verify(dataset))


def test_messages_that_the_stamps_miss_are_a_problem(dataset: Path) -> None:
    fields = json.loads((dataset / MANIFEST).read_text())
    fields["totals"]["telemetry-logs"]["missing_messages"] = 2
    (dataset / MANIFEST).write_text(json.dumps(fields))
    assert verify(dataset) == ["telemetry-logs: 2 missing messages by the writers' stamps"]


def test_a_manifest_can_not_name_files_elsewhere(dataset: Path) -> None:
    fields = json.loads((dataset / MANIFEST).read_text())
    fields["files"][0]["name"] = "../manifest.json"
    (dataset / MANIFEST).write_text(json.dumps(fields))
    assert "../manifest.json: missing" in verify(dataset)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no dataset"):
        verify(tmp_path)
    with pytest.raises(InvalidInput, match="has no content hash"):
        content_hash(tmp_path)
