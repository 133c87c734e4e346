"""What every importer holds to, and the traps of each set, on small recordings that the tests make."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from microservo.adapters.rows_file import read_rows, to_bytes
from microservo.datasets.imports.importer import ForeignFault
from microservo.datasets.imports.registry import IMPORTERS, importer_of
from microservo.datasets.imports.staging import Staged, minute_file, stage
from microservo.domain.completeness import MINUTE_US
from microservo.domain.rows import MetricRows, Rows, coded
from microservo.errors import InvalidInput

S = 1_000_000
AT_S = 1_661_140_260
NEZHA_HEAD = "Time,TimeStamp,PodName,CpuUsage(m),SyscallRead\n"
POD = "cartservice-579f59597d-wc2lz"


def rcaeval(folder: Path) -> None:
    case = folder / "cart_cpu" / "1"
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{AT_S + 5}\n")
    rows = "".join(f"{AT_S + each},{each}.5\n" for each in range(10))
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu\n{rows}")
    (case / "logs.csv").write_text(f'timestamp,container_name,message\n{AT_S}000000001,cart,"two\nlines"\n')
    (case / "traces.csv").write_text(
        "traceID,spanID,parentSpanID,serviceName,operationName,startTime,duration,statusCode\n"
        f"{'a' * 32},{'1' * 16},,front,Get,{AT_S}000000,900,0\n"
        f"{'a' * 32},{'2' * 16},{'1' * 16},cart,Add,{AT_S}000100,100,2\n"
    )


def nezha(folder: Path) -> None:
    day = folder / "rca_data" / "2022-08-22"
    for each in ("metric", "log", "trace"):
        (day / each).mkdir(parents=True)
    (day / "metric" / f"{POD}_metric.csv").write_text(
        f"{NEZHA_HEAD}2022-08-22 03:51:00 +0000 UTC,{AT_S},{POD},7.5,\n"
    )
    log = json.dumps({"log": "added\n", "stream": "stdout", "time": ""}).replace('"', '""')
    (day / "log" / "03_51_log.csv").write_text(
        f'Timestamp,TimeUnixNano,Node,PodName,Container,TraceID,SpanID,Log\n,{AT_S}000000000,n,{POD},c,,,"{log}"\n'
    )
    (day / "trace" / "03_51_trace.csv").write_text(
        "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
        f"{'b' * 32},{'3' * 16},root,{POD},Add,{AT_S}000000000,{AT_S}000500000,500\n"
    )
    label(folder, "2022-08-22 03:51:10", AT_S + 10)


def label(folder: Path, text: str, epoch_s: int) -> None:
    """The one label of the day."""
    said = {
        "inject_time": text,
        "inject_timestamp": str(epoch_s),
        "inject_pod": POD,
        "inject_type": "cpu_contention",
    }
    path = folder / "rca_data" / "2022-08-22" / "2022-08-22-fault_list.json"
    path.write_text(json.dumps({"03": [said]}))


def nab(folder: Path) -> None:
    (folder / "data" / "cart").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = "".join(f"2022-08-22 03:51:{each:02},{each}\n" for each in range(0, 60, 5))
    (folder / "data" / "cart" / "cpu.csv").write_text(f"timestamp,value\n{rows}")
    window = [["2022-08-22 03:51:20.000000", "2022-08-22 03:51:30.000000"]]
    (folder / "labels" / "combined_windows.json").write_text(json.dumps({"cart/cpu.csv": window}))


def otlp(folder: Path) -> None:
    folder.mkdir(parents=True)
    point = {"timeUnixNano": f"{AT_S}000000000", "asDouble": 1.5}
    request = {
        "resourceMetrics": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
                "scopeMetrics": [{"metrics": [{"name": "cpu", "gauge": {"dataPoints": [point]}}]}],
            }
        ]
    }
    (folder / "metrics.jsonl").write_text(json.dumps(request) + "\n")


MADE: dict[str, Callable[[Path], None]] = {
    "rcaeval": rcaeval,
    "nezha": nezha,
    "nab": nab,
    "otlp-json": otlp,
}
SPOILED = {
    "rcaeval": ("cart_cpu/1/simple_metrics.csv", "simple_metrics.csv, row 12"),
    "nezha": ("rca_data/2022-08-22/trace/03_51_trace.csv", "03_51_trace.csv, row 3"),
    "nab": ("data/cart/cpu.csv", "cart/cpu.csv, row 14"),
    "otlp-json": ("metrics.jsonl", "metrics.jsonl, row 2"),
}


def staged(folder: Path, name: str = "auto") -> Staged:
    return stage(folder, name, folder.parent / "minutes", progress=lambda *_: None)


def all_rows(folder: Path) -> list[Rows]:
    return [each for path in sorted((folder.parent / "minutes").iterdir()) for each in read_rows(path)]


def test_every_importer_is_tried() -> None:
    assert set(MADE) == set(IMPORTERS) == set(SPOILED)


@pytest.mark.parametrize("name", MADE)
def test_a_folder_is_recognised_and_read_twice_the_same(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    first, second = staged(tmp_path / "set"), staged(tmp_path / "set")
    assert first == second
    assert first.format_name == name
    assert first.from_us == AT_S * S // MINUTE_US * MINUTE_US
    assert sum(each.count for each in all_rows(tmp_path / "set")) == first.records
    assert {each.service for each in all_rows(tmp_path / "set")} >= (
        {"cartservice"} if name == "nezha" else {"cart"}
    )


@pytest.mark.parametrize("bad", [b"a,b,c\xff\n", b'"' + b"x" * 40_000_000 + b"\n", b'"cut'])
@pytest.mark.parametrize("name", MADE)
def test_a_row_that_cant_be_read_is_named_and_nothing_is_kept(name: str, bad: bytes, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    file, place = SPOILED[name]
    with (tmp_path / "set" / file).open("ab") as spoiled:
        spoiled.write(bad)
    with pytest.raises(InvalidInput) as caught:
        staged(tmp_path / "set", name)
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_is_no_folder_or_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no folder, and no archive"):
        staged(tmp_path / "absent")
    nab(tmp_path / "set")
    (tmp_path / "secret.csv").write_text("timestamp,value\n")
    (tmp_path / "set" / "data" / "cart" / "out.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(InvalidInput, match="leads out of"):
        importer_of(tmp_path / "set", "nab")


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_an_archive_is_read_like_the_folder_in_it_and_leaves_nothing_unpacked(
    kind: str, tmp_path: Path
) -> None:
    rcaeval(tmp_path / "set")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "set"))
    assert staged(archive) == staged(tmp_path / "set")
    assert list(tmp_path.rglob("unpacked")) == []


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def a_link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


@pytest.mark.parametrize(
    ("member", "data", "words"),
    [
        (tarfile.TarInfo("../out.csv"), b"x", "outside"),
        (a_link("case/logs.csv", "/etc/passwd"), b"", "absolute"),
        (a_link("case/logs.csv", "../../secret"), b"", "outside"),
        (tarfile.TarInfo("zeros.csv"), bytes(8 << 20), "more than 200000 files or"),
    ],
)
def test_a_tar_that_leads_out_or_explodes_is_refused_and_nothing_of_it_stays(
    member: tarfile.TarInfo, data: bytes, words: str, tmp_path: Path
) -> None:
    archive = tar_of(tmp_path / "set.tar.gz", (member, data))
    with pytest.raises(InvalidInput, match=words):
        staged(archive)
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == ["set.tar.gz"]


def test_a_tar_that_was_cut_is_refused(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "gztar", tmp_path / "set"))
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="can't be unpacked"):
        staged(archive)


def test_an_instant_in_a_wrong_unit_is_refused(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    logs = tmp_path / "set" / "cart_cpu" / "1" / "logs.csv"
    logs.write_text(f"timestamp,container_name,message\n{AT_S},cart,in seconds\n")
    with pytest.raises(InvalidInput, match=r"logs.csv, row 2: timestamp is .* in ns is no instant"):
        staged(tmp_path / "set")


def test_a_case_of_rcaeval_has_a_start_and_no_end_and_its_spans_say_who_calls(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    found = staged(tmp_path / "set")
    (fault,) = found.faults
    assert (fault.service, fault.kind, fault.start_us, fault.end_us) == ("cart", "cpu", (AT_S + 5) * S, None)
    assert found.edges == {("front", "cart")}


def test_several_cases_are_refused_for_each_is_a_run(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    rcaeval(tmp_path / "set" / "more")
    with pytest.raises(InvalidInput, match="holds 2 cases"):
        staged(tmp_path / "set", "rcaeval")


def test_a_contradiction_inside_a_label_of_nezha_is_told_and_the_epoch_taken(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    label(tmp_path / "set", "2022-08-22 11:51:10", AT_S + 10)
    found = staged(tmp_path / "set")
    (fault,) = found.faults
    assert (fault.start_us, fault.within_us) == ((AT_S + 10) * S, 28_800 * S)
    assert (fault.kind, fault.instance) == ("cpu-contention", POD)
    assert any("+28800 s from its epoch" in each for each in found.notes)


def test_a_row_of_nezha_with_an_epoch_of_another_century_has_the_time_of_its_text(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    path = tmp_path / "set" / "rca_data" / "2022-08-22" / "metric" / f"{POD}_metric.csv"
    path.write_text(f"{NEZHA_HEAD}2022-08-22 03:51:00 +0000 UTC,1861140260,{POD},7.5,\n")
    found = staged(tmp_path / "set")
    (points,) = (each for each in all_rows(tmp_path / "set") if isinstance(each, MetricRows))
    assert points.time_us.tolist() == [AT_S * S]
    assert any("epoch of another year" in each for each in found.notes)
    assert any("SyscallRead" in each for each in found.notes), "a column without a value"


def test_a_window_of_nab_is_a_fault_with_both_ends_and_a_clock_that_goes_back_is_told(tmp_path: Path) -> None:
    nab(tmp_path / "set")
    with (tmp_path / "set" / "data" / "cart" / "cpu.csv").open("a") as file:
        file.write("2022-08-22 03:51:01,9\n")
    found = staged(tmp_path / "set")
    (fault,) = found.faults
    assert isinstance(fault, ForeignFault)
    assert (fault.start_us, fault.end_us) == ((AT_S + 20) * S, (AT_S + 35) * S)
    assert any("the clock goes back" in each for each in found.notes)


def test_rows_come_back_from_a_file_as_they_were_and_a_cut_one_is_refused(tmp_path: Path) -> None:
    rows = MetricRows(
        service="cart",
        instance="",
        time_us=np.array([1, 2], np.int64),
        name=coded(["a", "b"]),
        value=np.array([1.0, np.nan]),
    )
    path = minute_file(tmp_path, 0)
    path.write_bytes(to_bytes(rows))
    (back,) = read_rows(path)
    assert to_bytes(back) == to_bytes(rows)
    path.write_bytes(to_bytes(rows)[:-3])
    with pytest.raises(InvalidInput, match="import the recording again"):
        list(read_rows(path))
