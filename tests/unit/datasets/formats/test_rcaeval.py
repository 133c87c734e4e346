"""RCAEval's layout: the files of a case, their columns and units, and which seconds are in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_dataset import BODY, FAULTS, START_US, Made, MadeFault, S, write_dataset

from microservo.datasets import export
from microservo.datasets.formats.names import read_names
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
Rows = Callable[[Path], list[dict[str, str]]]
START_S = START_US // S
CPU, DELAY = "cart-service-2_cpu/1", "carts.db_delay/1"
CART = "cart-service-2"


@pytest.fixture
def cases(exported: Exports) -> Path:
    return exported("rcaeval")[0]


def test_a_folder_is_named_by_service_and_fault_with_one_underscore(cases: Path) -> None:
    found = {path.parent.parent.name for path in cases.glob("**/simple_metrics.csv")}
    assert found == {"cart-service-2_cpu", "carts.db_delay"}
    assert sorted(path.name for path in (cases / CPU).iterdir()) == [
        "inject_time.txt",
        "logs.csv",
        "logts.csv",
        "metrics.parquet",
        "simple_metrics.csv",
        "traces.csv",
        "tracets_err.csv",
        "tracets_lat.csv",
    ]


def test_the_time_of_the_injection_is_the_second_in_which_it_was_applied(cases: Path) -> None:
    assert (cases / CPU / "inject_time.txt").read_text() == f"{START_S + 150}\n"


def test_metrics_are_a_row_a_second_with_rcaevals_own_words(cases: Path, rows: Rows) -> None:
    found = rows(cases / CPU / "simple_metrics.csv")
    names = list(found[0])
    assert names[0] == "time"
    assert {name for name in names if name.startswith(f"{CART}_")} == {
        f"{CART}_{word}" for word in ("cpu", "mem", "workload", "error", "latency-50", "latency-90")
    }
    assert all(name.count("_") == 1 for name in names[1:])
    assert names[1:] == sorted(names[1:], key=lambda name: name.split("_"))
    by_time = {int(row["time"]): row for row in found}
    quiet, burnt = by_time[START_S + 149], by_time[START_S + 151]
    assert float(quiet[f"{CART}_cpu"]) == pytest.approx(0.1, abs=0.01)
    assert float(burnt[f"{CART}_cpu"]) == pytest.approx(0.9, abs=0.01)
    assert float(burnt[f"{CART}_mem"]) == 1e8 + 151, "bytes"
    assert float(burnt[f"{CART}_workload"]) == 3, "requests served in the second; a call is none"
    assert float(burnt[f"{CART}_latency-50"]) == 0.011, "seconds, and one that was measured"
    assert float(by_time[START_S + 160][f"{CART}_error"]) == 1


def test_before_the_fault_are_undisturbed_seconds_and_behind_it_its_own(cases: Path, rows: Rows) -> None:
    seconds = [int(row["time"]) - START_S for row in rows(cases / CPU / "simple_metrics.csv")]
    # It had recovered at 200.6 s, and nothing was seen of it from 201.9 s on; a control disturbs nothing.
    assert seconds == list(range(202))
    behind = [int(row["time"]) - START_S for row in rows(cases / DELAY / "simple_metrics.csv")]
    quiet = [second for second in behind if second < 230]
    assert len(quiet) % 15 == 0
    assert set(range(150, 202)).isdisjoint(quiet)
    assert behind[len(quiet) :] == list(range(230, 251))


def test_all_metrics_are_in_a_wide_table(cases: Path) -> None:
    table = pq.read_table(cases / CPU / "metrics.parquet")
    assert str(table.schema.field("time").type) == "int64"
    queue = table.column(f"{CART}_queue-depth-a-b-c-d")
    assert str(queue.type) == "double"
    metric = read_names(cases / "names.csv")["metric"]
    assert metric["queue-depth-a-b-c-d"] == "queue_depth{a_b=c,d}"
    assert metric["cpu"] == "process.cpu.utilization"
    assert 0.5 < queue[0].as_py() < 1.5, "the mean over the points of both instances"
    assert not [name for name in table.column_names if name.startswith("host-1")]


def test_logs_and_traces_have_the_columns_and_units_of_theirs(cases: Path, rows: Rows) -> None:
    lines = rows(cases / CPU / "logs.csv")
    assert list(lines[0]) == ["timestamp", "container_name", "message", "level", "log_template"]
    line = next(each for each in lines if int(each["timestamp"]) == (START_S + 154) * 10**9 + 125_000_000)
    assert line["message"] == BODY
    assert {each["level"] for each in lines} == {"INFO", "ERROR"}
    spans = rows(cases / CPU / "traces.csv")
    assert list(spans[0]) == [
        *("time", "traceID", "spanID", "serviceName", "methodName", "operationName"),
        *("startTimeMillis", "startTime", "duration", "statusCode", "parentSpanID"),
    ]
    span = next(each for each in spans if each["spanID"] == f"00000000{160 * 4 + 1:08x}")
    start_us = START_US + 160 * S + 350_000 - 11_000
    assert (int(span["startTime"]), int(span["duration"])) == (start_us, 11_000)
    assert (int(span["startTimeMillis"]), int(span["time"])) == (start_us // 1000, start_us // S)
    assert span["serviceName"] == CART
    assert span["statusCode"] == "2"
    assert span["operationName"] == "GET /a_b,c"


def test_logs_and_traces_are_counted_every_fifteen_seconds_from_the_injection(
    cases: Path, rows: Rows
) -> None:
    lines = rows(cases / CPU / "logts.csv")
    times = [int(row["time"]) - START_S for row in lines]
    assert times == [*range(0, 150, 15), 150, 165, 180, 195]
    (column,) = [name for name in lines[0] if name.startswith(f"{CART}_")]
    assert {row[column] for row in lines} == {"15"}
    failed = rows(cases / CPU / "tracets_err.csv")
    (operation,) = [name for name in failed[0] if name.startswith(f"{CART}_")]
    assert [int(row["time"]) - START_S for row in failed] == times
    assert {row[operation] for row in failed} == {"1", "2"}
    latency = rows(cases / CPU / "tracets_lat.csv")
    assert float(latency[3][operation]) == 11_500, "microseconds, over all spans"
    names = read_names(cases / "names.csv")
    assert names["operation"][operation.split("_")[1]] == "GET /a_b,c"
    assert names["log template"][column.split("_")[1]] == "said <*>, went on"


def test_cases_say_what_their_folders_leave_out(cases: Path, rows: Rows) -> None:
    cpu, delay = rows(cases / "cases.csv")
    assert (cpu["case"], cpu["fault_id"], cpu["kind"]) == (CPU, "f-cpu", "cpu-hog")
    assert (cpu["service"], cpu["root_cause_service"]) == ("cart_service", CART)
    assert int(cpu["applied_us"]) == START_US + 150_400_000
    assert int(cpu["recovered_us"]) == START_US + 200_600_000
    assert int(cpu["ended_us"]) == START_US + 201_900_001
    assert delay["instances"] == "carts-db-0 carts-db-1"
    assert cpu["faults_beside"] == ""


def test_what_has_no_case_is_said(exported: Exports, tmp_path: Path, rows: Rows) -> None:
    assert any("f-noop" in each and "harms nothing" in each for each in exported("rcaeval")[1].losses)
    early = MadeFault(fault_id="early", kind="cpu-hog", service="carts-db", applied=9, recovered=20)
    together = MadeFault(
        fault_id="together", kind="bad-deploy", service="front/end", applied=160, recovered=None
    )
    write_dataset(tmp_path / "dataset", Made(faults=(early, *FAULTS, together)))
    found = export(
        tmp_path / "dataset", format_name="rcaeval", out_dir=tmp_path / "out", progress=lambda *_: None
    )
    assert any("early" in each and "fewer than 15 seconds" in each for each in found.losses)
    by_id = {row["fault_id"]: row for row in rows(tmp_path / "out" / "cases.csv")}
    assert by_id.keys() == {"f-cpu", "f-delay", "together"}
    assert by_id["f-cpu"]["faults_beside"] == "together"
    assert by_id["together"]["recovered_us"] == ""
    assert by_id["together"]["fault"] == "bad-deploy"
