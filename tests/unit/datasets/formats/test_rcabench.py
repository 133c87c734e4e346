"""RCABench's datapacks: their tables and units, and what is said of the fault."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_dataset import BODY, START_US, Made, MadeFault, S, write_dataset

from microservo.datasets import export
from microservo.domain.datasets.formats import Exported

Exports = Callable[[str], tuple[Path, Exported]]
START_S = START_US // S
CART = "cart-service-2"
PACK = f"{CART}-CPUStress-1"
TABLES = ("traces", "logs", "metrics", "metrics_sum", "metrics_histogram", "trace_id_ts")


@pytest.fixture
def folder(exported: Exports) -> Path:
    return exported("rcabench")[0] / PACK


def table(path: Path) -> pa.Table:
    return pq.read_table(path)


def loaded(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_a_datapack_has_every_file_that_is_required_and_no_table_without_rows(folder: Path) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", folder.name)
    names = {path.name for path in folder.iterdir()}
    tables = {f"{prefix}_{name}.parquet" for prefix in ("normal", "abnormal") for name in TABLES}
    assert names == tables | {
        *("env.json", "injection.json", "causal_graph.json", "k8s.json", "sha256sum.txt"),
    }
    assert all(table(folder / name).num_rows for name in tables)


def test_sums_are_those_of_the_files(folder: Path) -> None:
    lines = [line.split("  ") for line in (folder / "sha256sum.txt").read_text().splitlines()]
    assert {name for _, name in lines} == {path.name for path in folder.iterdir()} - {"sha256sum.txt"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha for sha, name in lines)


def test_both_ranges_are_next_to_each_other_in_seconds_of_utc(folder: Path) -> None:
    env = loaded(folder / "env.json")
    assert env["DB_TIMEZONE"] == "UTC"
    assert int(env["NORMAL_START"]) == START_S
    assert env["NORMAL_END"] == env["ABNORMAL_START"] == str(START_S + 150)
    assert int(env["ABNORMAL_END"]) == START_S + 202


def test_spans_have_nanoseconds_and_attributes_as_json(folder: Path) -> None:
    spans = table(folder / "abnormal_traces.parquet")
    assert spans.column_names == [
        *("Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind"),
        *("ServiceName", "ResourceAttributes", "SpanAttributes", "Duration", "StatusCode", "StatusMessage"),
    ]
    assert str(spans.schema.field("Timestamp").type) == "timestamp[ns, tz=UTC]"
    assert str(spans.schema.field("Duration").type) == "uint64"
    rows = spans.set_column(0, "Timestamp", spans.column("Timestamp").cast(pa.int64())).to_pylist()
    span = next(each for each in rows if each["SpanId"] == f"00000000{160 * 4 + 1:08x}")
    assert span["Timestamp"] == (START_US + 160_350_000 - 11_000) * 1000
    assert (span["Duration"], span["StatusCode"], span["SpanKind"]) == (11_000_000, "Error", "Server")
    assert json.loads(span["ResourceAttributes"]) == {
        "pod.name": f"{CART}-0",
        "service.name": CART,
        "service.namespace": "microservo",
    }


def test_lines_metrics_and_histograms_have_their_columns(folder: Path) -> None:
    lines = table(folder / "abnormal_logs.parquet")
    assert lines.column_names == [
        *("Timestamp", "TimestampTime", "TraceId", "SpanId", "SeverityText", "SeverityNumber"),
        *("ServiceName", "Body", "ResourceAttributes", "LogAttributes"),
    ]
    assert BODY in lines.column("Body").to_pylist()
    columns = [
        *("TimeUnix", "MetricName", "MetricDescription", "Value", "ServiceName", "MetricUnit"),
        *("ResourceAttributes", "Attributes"),
    ]
    for name in ("metrics", "metrics_sum"):
        assert table(folder / f"normal_{name}.parquet").column_names == columns
    requests = table(folder / "normal_metrics_sum.parquet").to_pylist()
    assert sum(each["Value"] for each in requests if each["ServiceName"] == CART) == 3 * 150
    histogram = table(folder / "normal_metrics_histogram.parquet")
    assert histogram.column_names == [
        *("TimeUnix", "MetricName", "ServiceName", "MetricUnit", "ResourceAttributes", "Attributes"),
        *("Count", "Sum", "BucketCounts", "ExplicitBounds", "Min", "Max", "AggregationTemporality"),
    ]
    row = next(each for each in histogram.to_pylist() if each["Count"] == 30)
    # Ten requests each of 10, 11 and 12 ms; bounds are closed above.
    assert (row["Min"], row["Max"], row["Sum"]) == (0.010, 0.012, pytest.approx(0.33))
    assert row["BucketCounts"][:3] == [0, 10, 20]
    assert len(row["BucketCounts"]) == len(row["ExplicitBounds"]) + 1


def test_ground_truth_and_causes_name_the_root(folder: Path) -> None:
    injection = loaded(folder / "injection.json")
    assert injection["fault_type"] == "CPUStress"
    (truth,) = injection["ground_truth"]
    assert (truth["service"], truth["pod"]) == ([CART], [f"{CART}-0"])
    graph = loaded(folder / "causal_graph.json")
    (root,) = graph["root_causes"]
    assert root["component"] == f"service|{CART}"
    assert root["timestamp"] == (START_US + 150_400_000) * 1000
    assert graph["component_to_service"] == {f"service|{CART}": CART}
    assert [each["component"] for each in graph["alarm_nodes"]] == [f"service|{CART}"]


def test_a_fault_right_behind_another_has_no_datapack_and_that_is_said(tmp_path: Path) -> None:
    faults = tuple(
        MadeFault(
            fault_id=f"f-{number}",
            kind="cpu-hog",
            service="carts-db",
            applied=100 + 25 * number,
            recovered=120 + 25 * number,
        )
        for number in range(2)
    )
    write_dataset(tmp_path / "dataset", Made(faults=faults))
    found = export(
        tmp_path / "dataset", format_name="rcabench", out_dir=tmp_path / "out", progress=lambda *_: None
    )
    assert any("f-1" in each and "fewer than 10 seconds" in each for each in found.losses)
    assert not any("f-0" in each for each in found.losses)
