"""OpenRCA's layout: days in UTC+8, records of root causes, and questions that its scorer can score."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_dataset import BODY, START_US, Made, MadeFault, S, write_dataset

from microservo.datasets import export
from microservo.datasets.formats.names import read_names
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
DAY = "2023_11_15"
"""The run begins at 22:13:20 UTC, when their clocks show the next day."""
CART = "cart-service-2"


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("openrca")[0]


def test_a_record_has_component_and_reason_and_the_time_in_utc_plus_8(folder: Path, rows: Rows) -> None:
    cpu, delay = rows(folder / "record.csv")
    assert cpu == {
        "level": "pod",
        "component": f"{CART}-0",
        "timestamp": str(START_S + 150),
        "datetime": "2023-11-15 06:15:50",
        "reason": "container CPU load",
    }
    assert (delay["level"], delay["component"]) == ("service", "carts-db"), "it was on all of its instances"
    assert delay["reason"] == "container network latency"


def test_telemetry_lies_in_the_folder_of_its_day(folder: Path) -> None:
    found = {path.relative_to(folder).as_posix() for path in (folder / "telemetry").rglob("*.csv")}
    assert found == {
        f"telemetry/{DAY}/{name}.csv"
        for name in (
            *("metric/metric_container", "metric/metric_node", "metric/metric_service"),
            *("trace/trace_span", "log/log_service"),
        )
    }


def test_metrics_are_long_tables_in_seconds(folder: Path, rows: Rows) -> None:
    points = rows(folder / "telemetry" / DAY / "metric" / "metric_container.csv")
    assert list(points[0]) == ["timestamp", "cmdb_id", "kpi_name", "value"]
    assert len(points) == 300 * 4 * 2 * 3, "no point is left out"
    own = [
        each
        for each in points
        if each["cmdb_id"] == f"node-0.{CART}-0" and each["timestamp"] == str(START_S + 160)
    ]
    by_name = {each["kpi_name"]: float(each["value"]) for each in own}
    assert by_name["process.cpu.utilization"] == pytest.approx(0.9, abs=0.02)
    assert "queue_depth{a_b=c,d}" in by_name
    nodes = rows(folder / "telemetry" / DAY / "metric" / "metric_node.csv")
    assert {(each["cmdb_id"], each["value"]) for each in nodes} == {("node-1", "0.5")}
    assert read_names(folder / "names.csv")["node"] == {"node-1": "host-1"}


def test_a_service_has_a_row_a_minute_with_percent_and_milliseconds(folder: Path, rows: Rows) -> None:
    minutes = rows(folder / "telemetry" / DAY / "metric" / "metric_service.csv")
    assert list(minutes[0]) == ["service", "timestamp", "rr", "sr", "mrt", "count"]
    (minute,) = [
        each for each in minutes if each["service"] == CART and each["timestamp"] == str(START_S + 160)
    ]
    assert minute["count"] == "180"
    assert float(minute["sr"]) == pytest.approx(100 * (1 - 6 / 180))
    assert float(minute["mrt"]) == pytest.approx(11)
    assert minute["rr"] == "", "not known"


def test_spans_are_in_milliseconds_and_microseconds_lines_in_seconds(folder: Path, rows: Rows) -> None:
    spans = rows(folder / "telemetry" / DAY / "trace" / "trace_span.csv")
    assert list(spans[0]) == [
        *("timestamp", "cmdb_id", "span_id", "trace_id", "duration", "type"),
        *("status_code", "operation_name", "parent_span"),
    ]
    span = next(each for each in spans if each["span_id"] == f"00000000{160 * 4 + 1:08x}")
    assert int(span["timestamp"]) == START_US // 1000 + 160_350 - 11
    assert (span["duration"], span["type"], span["status_code"]) == ("11000", "http", "2")
    lines = rows(folder / "telemetry" / DAY / "log" / "log_service.csv")
    assert list(lines[0]) == ["log_id", "timestamp", "cmdb_id", "log_name", "value"]
    assert [each["log_id"] for each in lines] == [str(number) for number in range(len(lines))]
    line = next(
        each for each in lines if each["timestamp"] == str(START_S + 168) and each["cmdb_id"] == f"{CART}-0"
    )
    assert line["value"] == BODY
    assert line["log_name"] == f"log_{CART}-service_application"


COMPONENT = r"The (?:\d+-th|only) predicted root cause component is ([^\n]+)"
REASON = r"The (?:\d+-th|only) predicted root cause reason is ([^\n]+)"
TIME = r"The (?:\d+-th|only) root cause occurrence time is within 1 minutes \(i.e., <=1min\) of ([^\n]+)"
"""The patterns of OpenRCA's scorer."""


def test_a_question_can_be_scored_by_its_scorer(folder: Path, rows: Rows) -> None:
    first, second = rows(folder / "query.csv")
    assert list(first) == ["task_index", "instruction", "scoring_points"]
    assert (first["task_index"], second["task_index"]) == ("task_1", "task_2")
    # Both faults lie in one half hour, so each question is about both.
    assert re.findall(TIME, first["scoring_points"]) == ["2023-11-15 06:15:50", "2023-11-15 06:17:10"]
    assert re.findall(REASON, second["scoring_points"]) == ["container CPU load", "container network latency"]
    assert first["instruction"] == (
        "Between 2023-11-15 06:00:00 and 2023-11-15 06:30:00 (UTC+8), 2 failures were observed. "
        "Find the root cause occurrence time."
    )


def test_tasks_take_turns_and_a_fault_alone_is_the_only_one(tmp_path: Path, rows: Rows) -> None:
    faults = tuple(
        MadeFault(
            fault_id=f"f-{number}",
            kind="bad-deploy",
            service="cart-service",
            applied=10 + number * 40,
            recovered=20 + number * 40,
        )
        for number in range(7)
    )
    for name, chosen in (("seven", faults), ("one", faults[6:])):
        write_dataset(tmp_path / name, Made(faults=chosen))
        export(
            tmp_path / name, format_name="openrca", out_dir=tmp_path / f"{name}-out", progress=lambda *_: None
        )
    queries = rows(tmp_path / "seven-out" / "query.csv")
    assert [each["task_index"] for each in queries] == [f"task_{number}" for number in range(1, 8)]
    last = queries[6]["scoring_points"]
    assert [len(re.findall(each, last)) for each in (COMPONENT, REASON, TIME)] == [7, 7, 7]
    (alone,) = rows(tmp_path / "one-out" / "query.csv")
    assert alone["scoring_points"].startswith("The only root cause occurrence time is within 1 minutes")
