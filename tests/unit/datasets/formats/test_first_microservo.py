"""The layout of the first MicroServo: its files and columns, without what was wrong in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from made_dataset import BODY, FAULTS, START_US, Made, MadeFault, S, write_dataset

from microservo.datasets import export
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
CART = "cart-service-2"


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("microservo")[0]


def test_ground_truth_is_parallel_lists_with_measured_durations_for_each_pod(folder: Path) -> None:
    truth = json.loads((folder / "groundtruth" / "groundtruth.json").read_text())
    assert truth == {
        "timestamp": [START_S + 150, START_S + 230, START_S + 230],
        "service": [CART, "carts-db", "carts-db"],
        "cmdb_id": [f"{CART}-0", "carts-db-0", "carts-db-1"],
        "failure_type": ["cpu", "delay", "delay"],
        "duration": [50.2, 20.0, 19.75],
    }


def test_faults_of_every_kind_are_in_it_also_where_they_did_not_end(tmp_path: Path) -> None:
    abort = MadeFault(fault_id="f-abort", kind="http-abort", service="front/end", applied=270, recovered=None)
    write_dataset(tmp_path / "dataset", Made(faults=(*FAULTS, abort)))
    found = export(
        tmp_path / "dataset", format_name="microservo", out_dir=tmp_path / "out", progress=lambda *_: None
    )
    truth = json.loads((tmp_path / "out" / "groundtruth" / "groundtruth.json").read_text())
    assert truth["failure_type"][-1] == "http-abort"
    assert truth["duration"][-1] is None
    assert any("f-abort" in each and "null" in each for each in found.losses)


def test_tables_have_the_columns_of_the_first_and_no_index(folder: Path, rows: Rows) -> None:
    lines = rows(folder / "log" / "log.csv")
    assert list(lines[0]) == ["log_id", "timestamp", "date", "cmdb_id", "message"]
    line = next(each for each in lines if float(each["timestamp"]) == START_S + 154.125)
    assert line["date"] == "2023-11-14T22:15:54.125000Z"
    assert line["message"] == BODY
    spans = rows(folder / "trace" / "trace.csv")
    assert list(spans[0]) == [
        *("timestamp", "cmdb_id", "span_id", "trace_id", "duration", "type"),
        *("status_code", "operation_name", "parent_span"),
    ]
    span = next(each for each in spans if each["span_id"] == f"00000000{160 * 4 + 1:08x}")
    assert int(span["timestamp"]) == START_US + 160_350_000 - 11_000, "sixteen digits: microseconds"
    assert (span["cmdb_id"], span["duration"]) == (CART, "11000")
    points = rows(folder / "metric" / "container" / "kpi_process-cpu-utilization.csv")
    assert list(points[0]) == ["timestamp", "cmdb_id", "kpi_name", "value"]
    assert points[0]["cmdb_id"].startswith("node-0.")


def test_rows_are_in_order_of_time_and_none_comes_twice(folder: Path, rows: Rows) -> None:
    lines = rows(folder / "log" / "log.csv")
    times = [float(each["timestamp"]) for each in lines]
    assert times == sorted(times)
    assert len({each["log_id"] for each in lines}) == len(lines) == 300 * 4
    points = rows(folder / "metric" / "container" / "kpi_process-memory-usage.csv")
    assert [each["timestamp"] for each in points] == sorted(each["timestamp"] for each in points)
