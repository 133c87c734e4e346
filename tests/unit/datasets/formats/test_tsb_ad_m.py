"""TSB-AD-M: the names of its files say where training ends, and no row lacks anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
CPU = "001_MicroServo_id_1_WebService_tr_20_1st_30.csv"
DELAY = "002_MicroServo_id_2_WebService_tr_20_1st_46.csv"


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("tsb-ad-m")[0]


def test_a_file_is_named_by_where_training_ends_and_anomalies_begin(folder: Path, rows: Rows) -> None:
    names = sorted(path.name for path in (folder / "TSB-AD-M").iterdir())
    assert names == [CPU, DELAY]
    assert [row["file_name"] for row in rows(folder / "File_List" / "TSB-AD-M.csv")] == names
    for name in names:
        labels = [row["Label"] for row in rows(folder / "TSB-AD-M" / name)]
        train, first = map(int, re.findall(r"_(?:tr|1st)_(\d+)", name))
        assert labels.index("1") == first
        assert "1" not in labels[:train]


def test_a_row_has_every_feature_as_a_number_and_its_label_last(folder: Path, rows: Rows) -> None:
    found = rows(folder / "TSB-AD-M" / CPU)
    assert list(found[0]) == [
        "metric/process.cpu.utilization/mean",
        "metric/process.memory.usage/mean",
        "request/*/count",
        "request/*/error_share",
        "request/*/p90_ms",
        "Label",
    ]
    assert all(float(value) >= 0 for row in found for value in row.values())
    # The fault is in force from 150.4 s and seen from 152.2 to 201.9 s; the two windows behind are masked.
    assert [row["Label"] for row in found] == ["0"] * 30 + ["1"] * 11 + ["0"] * 17


def test_an_undefined_value_is_the_last_one_before(folder: Path, rows: Rows) -> None:
    found = rows(folder / "TSB-AD-M" / CPU)
    assert found[0]["request/*/p90_ms"] == "0", "nothing was before"
    assert found[10]["request/*/p90_ms"] == found[9]["request/*/p90_ms"] != "0"


def test_what_each_file_is_of_is_listed(folder: Path, rows: Rows) -> None:
    cpu, delay = rows(folder / "series.csv")
    assert (cpu["file"], cpu["service"]) == (CPU, "cart_service")
    assert (cpu["windows"], cpu["anomalous_windows"], cpu["masked_windows_left_out"]) == ("58", "11", "2")
    assert delay["service"] == "carts-db"


def test_a_service_without_an_anomaly_is_left_out_and_that_is_said(exported: Exports) -> None:
    losses = exported("tsb-ad-m")[1].losses
    assert any(each.startswith("Service front/end: ") for each in losses)
    assert not any(each.startswith("Service cart_service: ") for each in losses)
