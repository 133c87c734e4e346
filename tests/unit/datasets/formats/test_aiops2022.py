"""The layout of the AIOps challenge of 2022: a file per KPI, ground truth by day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_dataset import START_US, S

from microservo.datasets.formats.names import read_names
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
DAY = "2023-11-15"
"""The run begins at 22:13:20 UTC, when their clocks show the next day."""
CART = "cart-service-2"


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("aiops2022")[0]


def test_ground_truth_has_seconds_and_the_words_of_the_challenge(folder: Path, rows: Rows) -> None:
    cpu, delay = rows(folder / "groundtruth" / f"groundtruth-k8s-1-{DAY}.csv")
    assert cpu == {
        "timestamp": str(START_S + 150),
        "level": "pod",
        "cmdb_id": f"{CART}-0",
        "failure_type": "k8s容器cpu负载",
    }
    assert (delay["level"], delay["cmdb_id"], delay["failure_type"]) == (
        *("service", "carts-db", "k8s容器网络延迟"),
    )
    assert read_names(folder / "names.csv")["failure type"]["k8s容器cpu负载"] == "cpu-hog"


def test_a_kpi_has_a_file_of_its_own_in_order_of_time(folder: Path, rows: Rows) -> None:
    metric = folder / "tar" / f"{DAY}-cloudbed1" / "metric"
    assert {path.name for path in (metric / "container").iterdir()} == {
        "kpi_process-cpu-utilization.csv",
        "kpi_process-memory-usage.csv",
        "kpi_queue-depth-a-b-c-d.csv",
    }
    points = rows(metric / "container" / "kpi_process-cpu-utilization.csv")
    assert list(points[0]) == ["timestamp", "cmdb_id", "kpi_name", "value"]
    assert len(points) == 300 * 4 * 2
    times = [int(each["timestamp"]) for each in points]
    assert times == sorted(times)
    assert {each["kpi_name"] for each in points} == {"process.cpu.utilization"}
    nodes = rows(metric / "node" / "kpi_system-cpu-utilization.csv")
    assert {each["cmdb_id"] for each in nodes} == {"node-1"}
    minutes = rows(metric / "service" / "metric_service.csv")
    assert list(minutes[0]) == ["service", "timestamp", "rr", "sr", "mrt", "count"]


def test_spans_are_in_milliseconds_and_lines_in_seconds(folder: Path, rows: Rows) -> None:
    day = folder / "tar" / f"{DAY}-cloudbed1"
    spans = rows(day / "trace" / "all" / "trace_jaeger-span.csv")
    assert list(spans[0]) == [
        *("timestamp", "cmdb_id", "span_id", "trace_id", "duration", "type"),
        *("status_code", "operation_name", "parent_span"),
    ]
    span = next(each for each in spans if each["span_id"] == f"00000000{160 * 4 + 1:08x}")
    assert int(span["timestamp"]) == START_US // 1000 + 160_350 - 11
    assert (span["cmdb_id"], span["duration"]) == (f"{CART}-0", "11000")
    lines = rows(day / "log" / "all" / "log_filebeat-testbed-log-service.csv")
    assert list(lines[0]) == ["log_id", "timestamp", "cmdb_id", "log_name", "value"]
    assert [int(each["log_id"]) for each in lines] == list(range(300 * 4))
