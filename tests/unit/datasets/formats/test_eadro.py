"""Eadro's layout: every second has a row, and lines and spans have the times of UTC+8."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from made_dataset import START_US, S

from microservo.datasets.formats.eadro import METRICS
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
RUN = "SN.2023-11-14T221320"
CART = "cart-service-2"


@pytest.fixture
def data(exported: Exports) -> Path:
    return exported("eadro")[0] / "data"


def loaded(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_metrics_have_a_row_of_numbers_for_every_second(data: Path, rows: Rows) -> None:
    assert {path.stem for path in (data / RUN / "metrics").iterdir()} == {
        *(CART, "cart-service", "carts-db", "front-end"),
    }
    found = rows(data / RUN / "metrics" / f"{CART}.csv")
    assert list(found[0]) == ["timestamp", *METRICS]
    assert [int(row["timestamp"]) for row in found] == list(range(START_S, START_S + 300))
    assert float(found[160]["cpu_usage_total"]) == pytest.approx(0.9, abs=0.02)
    assert float(found[160]["memory_usage"]) == 1e8 + 160
    assert {row["rx_bytes"] for row in found} == {"0"}, "not measured, and said so"


def test_lines_have_the_text_of_utc_plus_8_that_its_reader_looks_for(data: Path) -> None:
    lines = loaded(data / RUN / "logs.json")
    assert lines.keys() == {CART, "cart-service", "carts-db", "front-end"}
    assert len(lines[CART]) == 300
    line = lines[CART][160]
    found = re.fullmatch(r"\[(.*?)\] <(.*?)>:\s*(.*)", line)
    assert found is not None
    time, level, message = found.groups()
    assert datetime.strptime(time, "%Y-%b-%d %H:%M:%S.%f") == datetime(2023, 11, 15, 6, 16, 0, 125_000)  # noqa: DTZ007, DTZ001
    assert (level, message) == ("info", "request 160 done")


def test_traces_are_as_jaeger_has_them_and_eight_hours_late(data: Path) -> None:
    traces = loaded(data / RUN / "spans.json")
    assert len(traces) == 300
    trace = next(each for each in traces if each["traceID"] == f"{160:032x}")
    assert len(trace["spans"]) == 16
    span = next(each for each in trace["spans"] if each["spanID"] == f"00000000{160 * 4 + 1:08x}")
    assert trace["processes"][span["processID"]]["serviceName"] == CART
    assert span["startTime"] == START_US + 160_350_000 - 11_000 + 8 * 3600 * S
    assert span["duration"] == 11_000
    assert span["operationName"] == "GET /a_b,c"
    assert [each["spanID"] for each in span["references"]] == [f"{160:016x}"]
    root = next(each for each in trace["spans"] if each["spanID"] == f"00000000{160 * 4:08x}")
    assert root["references"] == []


def test_faults_have_a_start_and_a_duration_in_seconds(data: Path) -> None:
    found = loaded(data / "SN.fault-2023-11-14T221320.json")
    assert (found["start"], found["end"]) == (START_S, START_S + 300)
    cpu, delay = found["faults"]
    assert cpu == {
        "name": f"microservo-{CART}-1",
        "fault": "cpu_load",
        "start": START_S + 150,
        "duration": 51,
    }
    assert "-".join(cpu["name"].split("-")[1:-1]) == CART, "as its readers find the service"
    assert delay["fault"] == "network_delay"
