"""Nezha's layout: minutes in UTC, their columns and units, and faults by hour."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_dataset import BODY, START_US, S

from microservo.datasets.formats.names import read_names
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
DAY = "2023-11-14"
CART = "cart-service-2"
POD = f"{CART}-pod-0"


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("nezha")[0]


def loaded(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_minutes_that_a_fault_disturbed_lie_apart_from_others(folder: Path) -> None:
    # The run begins at 22:13:20; the faults are in force from 22:15:50 to 22:16:42 and 22:17:10 to 22:17:31.
    normal = sorted(path.name for path in (folder / "construct_data" / DAY / "trace").iterdir())
    faulty = sorted(path.name for path in (folder / "rca_data" / DAY / "trace").iterdir())
    assert normal == [f"22_{minute}_trace.csv" for minute in (13, 14, 18)]
    assert faulty == [f"22_{minute}_trace.csv" for minute in (15, 16, 17)]
    for kind in ("log", "traceid"):
        found = sorted(path.name for path in (folder / "rca_data" / DAY / kind).iterdir())
        assert found == [name.replace("trace", kind) for name in faulty]


def test_a_span_has_nanoseconds_a_duration_in_microseconds_and_a_parent_or_root(
    folder: Path, rows: Rows
) -> None:
    spans = rows(folder / "rca_data" / DAY / "trace" / "22_16_trace.csv")
    assert list(spans[0]) == [
        *("TraceID", "SpanID", "ParentID", "PodName", "OperationName"),
        *("StartTimeUnixNano", "EndTimeUnixNano", "Duration"),
    ]
    root, call = (
        next(each for each in spans if each["SpanID"] == f"00000000{160 * 4 + number:08x}")
        for number in (0, 3)
    )
    assert root["ParentID"] == "root"
    assert call["ParentID"] == f"{160:016x}"
    assert root["PodName"] == POD
    end_ns = (START_US + 160 * S + 100_000) * 1000
    assert (int(root["StartTimeUnixNano"]), int(root["EndTimeUnixNano"])) == (end_ns - 10**7, end_ns)
    assert root["Duration"] == "10000"
    assert all(int(each["EndTimeUnixNano"]) // 60 // 10**9 == (START_S + 160) // 60 for each in spans)


def test_a_line_is_json_of_what_was_logged(folder: Path, rows: Rows) -> None:
    lines = rows(folder / "rca_data" / DAY / "log" / "22_16_log.csv")
    assert list(lines[0]) == [
        *("Timestamp", "TimeUnixNano", "Node", "PodName", "Container", "TraceID", "SpanID", "Log")
    ]
    time_ns = (START_US + 168 * S + 125_000) * 1000
    line = next(each for each in lines if int(each["TimeUnixNano"]) == time_ns and each["PodName"] == POD)
    text = datetime.fromtimestamp(START_S + 168, UTC).strftime("%Y-%m-%dT%H:%M:%S.125000Z")
    assert line["Timestamp"] == text
    assert json.loads(line["Log"]) == {"log": BODY + "\n", "stream": "stdout", "time": text}
    assert (line["Container"], line["SpanID"]) == (CART, f"{168:016x}")


def test_the_ids_of_a_minute_stand_a_line_each_without_a_title(folder: Path, rows: Rows) -> None:
    ids = (folder / "rca_data" / DAY / "traceid" / "22_16_traceid.csv").read_text().splitlines()
    spans = rows(folder / "rca_data" / DAY / "trace" / "22_16_trace.csv")
    assert ids == sorted({each["TraceID"] for each in spans})


def test_a_pod_has_a_row_a_minute_in_their_units(folder: Path, rows: Rows) -> None:
    found = rows(folder / "rca_data" / DAY / "metric" / f"{POD}_metric.csv")
    assert list(found[0]) == [
        *("Time", "TimeStamp", "PodName", "CpuUsage(m)", "CpuUsageRate(%)", "MemoryUsage(Mi)"),
        *("MemoryUsageRate(%)", "SyscallRead", "SyscallWrite", "NetworkReceiveBytes"),
        *("NetworkTransmitBytes", "PodClientLatencyP90(s)", "PodServerLatencyP90(s)"),
        *("PodClientLatencyP95(s)", "PodServerLatencyP95(s)", "PodClientLatencyP99(s)"),
        *("PodServerLatencyP99(s)", "PodWorkload(Ops)", "PodSuccessRate(%)", "NodeCpuUsageRate(%)"),
        *("NodeMemoryUsageRate(%)", "NodeNetworkReceiveBytes"),
    ]
    assert [row["Time"] for row in found] == [
        f"2023-11-14 22:{minute}:00 +0000 UTC" for minute in (15, 16, 17)
    ]
    minute = found[1]
    assert int(minute["TimeStamp"]) == START_S + 160
    # The processor is burnt from 150.4 to 200.6 s: 41 of the 60 seconds from 160 s on.
    assert float(minute["CpuUsage(m)"]) == pytest.approx(1000 * (41 * 0.905 + 19 * 0.105) / 60, rel=0.02)
    assert float(minute["CpuUsageRate(%)"]) == pytest.approx(float(minute["CpuUsage(m)"]) / 10)
    assert float(minute["MemoryUsage(Mi)"]) == pytest.approx(1e8 / 2**20, rel=0.01)
    assert float(minute["PodServerLatencyP99(s)"]) == 0.012
    assert float(minute["PodClientLatencyP90(s)"]) == 0.013
    assert float(minute["PodWorkload(Ops)"]) == 3
    assert float(minute["PodSuccessRate(%)"]) == pytest.approx(100 * (1 - 6 / 180))
    assert float(minute["NodeCpuUsageRate(%)"]) == 50
    assert minute["SyscallRead"] == "", "not measured"


def test_what_users_call_and_who_calls_whom_have_files_of_their_own(folder: Path, rows: Rows) -> None:
    metrics = folder / "rca_data" / DAY / "metric"
    front = rows(metrics / "front_service.csv")
    assert list(front[0]) == [
        *("Time", "TimeStamp", "ServiceName", "SuccessRate(%)"),
        *("LatencyP50(s)", "LatencyP90(s)", "LatencyP95(s)", "LatencyP99(s)"),
    ]
    assert {row["ServiceName"] for row in front} == {CART}, "the graph has nobody who calls it"
    assert {"Source": CART, "Target": "cart-service", "Weight": "1"} in rows(metrics / "dependency.csv")
    calls = rows(metrics / "source_50.csv")
    assert float(calls[0][f"{CART}_redis"]) == 0.013


def test_faults_are_listed_by_hour_with_the_pod_and_their_own_words(folder: Path) -> None:
    faults = loaded(folder / "rca_data" / DAY / f"{DAY}-fault_list.json")
    assert list(faults) == ["22"]
    cpu, *delays = faults["22"]
    assert cpu == {
        "inject_time": "2023-11-14 22:15:50",
        "inject_timestamp": str(START_S + 150),
        "inject_pod": POD,
        "inject_type": "cpu_contention",
    }
    assert [(each["inject_pod"], each["inject_type"]) for each in delays] == [
        ("carts-db-pod-0", "network_delay"),
        ("carts-db-pod-1", "network_delay"),
    ]
    # As its programs have it: the service is what stands before the last two hyphens.
    assert cpu["inject_pod"].rsplit("-", 2)[0] == CART
    causes = loaded(folder / "construct_data" / "root_cause_microservo.json")
    assert causes[CART] == {"cpu_contention": "CpuUsageRate(%)"}


def test_pods_come_back_by_the_file(folder: Path) -> None:
    found = read_names(folder / "names.csv")
    assert found["instance"][POD] == "cart_service/cart_service-0"
    assert found["fault"] == {"cpu_contention": "cpu-hog", "network_delay": "network-delay"}
