"""Small recordings in every format that can be imported, made by the tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from microservo.adapters.rows_file import read_rows
from microservo.datasets.imports.span_of_time import ALL_OF_IT, SpanOfTime
from microservo.datasets.imports.staging import Staged, stage
from microservo.domain.rows import Rows

S = 1_000_000
AT_S = 1_661_140_260
NEZHA_HEAD = "Time,TimeStamp,PodName,CpuUsage(m),SyscallRead\n"
POD = "cartservice-579f59597d-wc2lz"
GOLDEN_PETSHOP = Path(__file__).parents[1] / "golden" / "petshop"


def rcaeval(folder: Path) -> None:
    rcaeval_case(folder / "cart_cpu" / "1")


def rcaeval_case(case: Path, at_s: int = AT_S) -> None:
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{at_s + 5}\n")
    rows = "".join(f"{at_s + each},{each}.5\n" for each in range(10))
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu\n{rows}")
    (case / "logs.csv").write_text(f'timestamp,container_name,message\n{at_s}000000001,cart,"two\nlines"\n')
    (case / "traces.csv").write_text(
        "traceID,spanID,parentSpanID,serviceName,operationName,startTime,duration,statusCode\n"
        f"{'a' * 32},{'1' * 16},,front,Get,{at_s}000000,900,0\n"
        f"{'a' * 32},{'2' * 16},{'1' * 16},cart,Add,{at_s}000100,100,2\n"
    )


def nezha(folder: Path) -> None:
    nezha_day(folder / "rca_data" / "2022-08-22", AT_S)
    nezha_label(folder, "2022-08-22 03:51:10", AT_S + 10)


def nezha_day(day: Path, at_s: int) -> None:
    for each in ("metric", "log", "trace"):
        (day / each).mkdir(parents=True)
    (day / "metric" / f"{POD}_metric.csv").write_text(
        f"{NEZHA_HEAD}{day.name} 03:51:00 +0000 UTC,{at_s},{POD},7.5,\n"
    )
    log = json.dumps({"log": "added\n", "stream": "stdout", "time": ""}).replace('"', '""')
    (day / "log" / "03_51_log.csv").write_text(
        "Timestamp,TimeUnixNano,Node,PodName,Container,TraceID,SpanID,Log\n"
        f'{day.name}T03:51:00.5,{at_s}000000000,n,{POD},c,,,"{log}"\n'
    )
    (day / "trace" / "03_51_trace.csv").write_text(
        "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
        f"{'b' * 32},{'3' * 16},root,{POD},Add,{at_s}000000000,{at_s}000500000,500\n"
    )


def nezha_label(folder: Path, text: str, epoch_s: int) -> None:
    """The one label of the day."""
    said = {
        "inject_time": text,
        "inject_timestamp": str(epoch_s),
        "inject_pod": POD,
        "inject_type": "cpu_contention",
    }
    path = folder / "rca_data" / "2022-08-22" / "2022-08-22-fault_list.json"
    path.write_text(json.dumps({"03": [said]}))


def petshop(folder: Path) -> None:
    """One issue, with the graph above it."""
    place = folder / "high_traffic" / "test"
    shutil.copytree(GOLDEN_PETSHOP / "high_traffic" / "test", place)
    shutil.copy(GOLDEN_PETSHOP / "high_traffic" / "graph.csv", place.parent)


def nab(folder: Path) -> None:
    (folder / "data" / "cart").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = "".join(f"2022-08-22 03:51:{each:02},{each}\n" for each in range(0, 60, 5))
    (folder / "data" / "cart" / "cpu.csv").write_text(f"timestamp,value\n{rows}")
    window = [["2022-08-22 03:51:20.000000", "2022-08-22 03:51:30.000000"]]
    (folder / "labels" / "combined_windows.json").write_text(json.dumps({"cart/cpu.csv": window}))


def otlp_request(at_s: int = AT_S) -> dict[str, object]:
    point = {"timeUnixNano": f"{at_s}000000000", "asDouble": 1.5}
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
                "scopeMetrics": [{"metrics": [{"name": "cpu", "gauge": {"dataPoints": [point]}}]}],
            }
        ]
    }


def otlp(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(json.dumps(otlp_request()) + "\n")


MADE: dict[str, Callable[[Path], None]] = {
    "nezha": nezha,
    "rcaeval": rcaeval,
    "petshop": petshop,
    "nab": nab,
    "otlp-json": otlp,
}
"""Writes a recording of one part into a folder that is not there yet."""
LAST_ROW = {
    "rcaeval": ("cart_cpu/1/simple_metrics.csv", 12),
    "nezha": ("rca_data/2022-08-22/trace/03_51_trace.csv", 3),
    "petshop": ("high_traffic/test/issue_0/metrics.csv", 10),
    "nab": ("data/cart/cpu.csv", 14),
    "otlp-json": ("metrics.jsonl", 2),
}
"""A file of each, and the number of the row that comes behind its last."""


def parts_of(folder: Path, name: str = "auto", *, within: SpanOfTime = ALL_OF_IT) -> tuple[Staged, ...]:
    return stage(folder, name, folder.parent / "minutes", within=within, progress=lambda *_: None)


def staged(folder: Path, name: str = "auto", *, within: SpanOfTime = ALL_OF_IT) -> Staged:
    """The only part of a recording."""
    (only,) = parts_of(folder, name, within=within)
    return only


def rows_of(part: Staged) -> list[Rows]:
    return [each for path in sorted(part.folder.iterdir()) for each in read_rows(path)]
