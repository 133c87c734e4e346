"""What every importer holds to, and the traps of each set, on small recordings that the tests make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from foreign_recordings import (
    AT_S,
    MADE,
    NEZHA_HEAD,
    POD,
    S,
    nab,
    nezha,
    nezha_label,
    rcaeval,
    rows_of,
    staged,
)

from microservo.adapters.rows_file import read_rows, to_bytes
from microservo.datasets.imports.importer import ForeignFault
from microservo.datasets.imports.registry import importer_named
from microservo.datasets.imports.staging import minute_file
from microservo.domain.completeness import MINUTE_US
from microservo.domain.datasets.import_formats import IMPORT_FORMATS
from microservo.domain.rows import LogRows, MetricRows, SpanRows, coded
from microservo.errors import InvalidInput

NEWLINES = pa_csv.ParseOptions(newlines_in_values=True)


def test_each_format_on_the_list_has_an_importer_of_its_name_which_is_tried_here() -> None:
    assert [importer_named(each).name for each in IMPORT_FORMATS] == list(IMPORT_FORMATS)
    assert list(MADE) == list(IMPORT_FORMATS)


@pytest.mark.parametrize("name", MADE)
def test_a_folder_is_recognised_and_read_twice_the_same(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    first, second = staged(tmp_path / "set"), staged(tmp_path / "set")
    assert first == second
    assert first.format_name == name
    assert first.from_us % MINUTE_US == first.until_us % MINUTE_US == 0
    assert sum(each.count for each in rows_of(first)) == first.records > 0
    assert all(each.service for each in rows_of(first))


def test_a_line_may_come_twice_in_one_file_and_each_counts(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    logs = tmp_path / "set" / "cart_cpu" / "1" / "logs.csv"
    row = f"{AT_S}000000001,cart,again\n"
    logs.write_text(f"timestamp,container_name,message\n{row * 3}")
    (lines,) = (each for each in rows_of(staged(tmp_path / "set")) if isinstance(each, LogRows))
    assert len(set(lines.line_id.tolist())) == 3


def test_a_case_of_rcaeval_has_a_start_and_no_end_and_its_spans_say_who_calls(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    found = staged(tmp_path / "set")
    (fault,) = found.faults
    assert (fault.service, fault.kind, fault.start_us, fault.end_us) == ("cart", "cpu", (AT_S + 5) * S, None)
    assert found.edges == {("front", "cart")}
    assert found.fault_free_until_us == (AT_S + 4) * S


def test_a_case_of_rcaeval_in_parquet_is_the_same_recording(tmp_path: Path) -> None:
    """As it is on Hugging Face, and as RCAEval 1.8 reads it."""
    rcaeval(tmp_path / "set")
    case = tmp_path / "set" / "cart_cpu" / "1"
    as_csv = staged(tmp_path / "set")
    before = [to_bytes(each) for each in rows_of(as_csv)]
    for written, name in (("simple_metrics", "metrics"), ("logs", "logs"), ("traces", "traces")):
        pq.write_table(
            pa_csv.read_csv(case / f"{written}.csv", parse_options=NEWLINES), case / f"{name}.parquet"
        )
        (case / f"{written}.csv").unlink()
    as_parquet = staged(tmp_path / "set")
    (lines,) = (each for each in rows_of(as_parquet) if isinstance(each, LogRows))
    assert lines.bodies == ("two\nlines",)
    assert (as_parquet.records, as_parquet.edges) == (as_csv.records, as_csv.edges)
    after = [to_bytes(each) for each in rows_of(as_parquet) if not isinstance(each, LogRows)]
    assert set(after) < set(before), "all but the id of a line, which is of its row in the file"


@pytest.mark.parametrize("empty", ["[]", "null"])
def test_a_series_of_rcaeval_without_points_is_none(empty: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    path = tmp_path / "set" / "cart_cpu" / "1" / "metrics.json"
    path.write_text(f'{{"cart_cpu": [[{AT_S}, 1], [{AT_S + 1}, null]], "cart_mem": {empty}}}')
    points = [each for each in rows_of(staged(tmp_path / "set")) if isinstance(each, MetricRows)]
    assert [(each.name.names, each.value.tolist()) for each in points] == [(("cpu",), [1.0])]


@pytest.mark.parametrize(
    ("text", "epoch_s", "start_s", "within_s", "words"),
    [
        # As most of those that are published: the epoch is of another zone, when there was nothing.
        ("2022-08-22 03:51:10", AT_S + 10 - 28_800, AT_S + 10, 1, "minute of its text alone"),
        ("2022-08-22 03:51:10", AT_S + 10 - 28_740, AT_S + 10, 60, "minute of its text alone"),
        ("2022-08-22 03:51:10", AT_S - 50, AT_S + 10, 60, "minute of its text alone"),
        ("2022-08-22 11:51:10", AT_S + 10, AT_S + 10, 28_800, "the epoch is taken"),
        ("2022-08-22 03:51:40", AT_S + 10, AT_S + 10, 30, "the epoch is taken"),
    ],
)
def test_a_contradiction_inside_a_label_of_nezha_is_told_and_the_telemetry_decides(
    *, text: str, epoch_s: int, start_s: int, within_s: int, words: str, tmp_path: Path
) -> None:
    nezha(tmp_path / "set")
    nezha_label(tmp_path / "set", text, epoch_s)
    found = staged(tmp_path / "set")
    (fault,) = found.faults
    assert (fault.start_us, fault.within_us) == (start_s * S, within_s * S)
    assert (fault.kind, fault.instance) == ("cpu-contention", POD)
    (note,) = (each for each in found.notes if "from its epoch" in each)
    assert words in note


def test_two_rows_of_nezha_that_were_written_into_one_another_are_left_out_and_told(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    logs = tmp_path / "set" / "rca_data" / "2022-08-22" / "log" / "03_51_log.csv"
    head, row = logs.read_text().splitlines(keepends=True)
    logs.write_text(head + row + row.strip() + 'ulate distance]""}"\n' + row)
    found = staged(tmp_path / "set")
    assert sum(each.count for each in rows_of(found) if isinstance(each, LogRows)) == 2
    assert any("03_51_log.csv, row 3: " in each and "the row is left out" in each for each in found.notes)
    logs.write_text(head + (row.strip() + 'x"\n') * 11)
    with pytest.raises(InvalidInput, match=r"03_51_log.csv, row 12: "):
        staged(tmp_path / "set")


def test_a_span_of_nezha_of_another_year_is_left_out_and_told(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    spans = tmp_path / "set" / "rca_data" / "2022-08-22" / "trace" / "03_51_trace.csv"
    spans.write_text(spans.read_text().replace(f",{AT_S}0000", ",186114026000000"))
    found = staged(tmp_path / "set")
    assert "1 x a row of spans has a time of another day; it is left out" in found.notes
    assert not [each for each in rows_of(found) if isinstance(each, SpanRows)]


def test_a_row_of_nezha_with_an_epoch_of_another_year_has_the_time_of_its_text(tmp_path: Path) -> None:
    """Nezha's issue 8: metrics of 2028, and lines of nanoseconds below zero."""
    nezha(tmp_path / "set")
    day = tmp_path / "set" / "rca_data" / "2022-08-22"
    (day / "metric" / f"{POD}_metric.csv").write_text(
        f"{NEZHA_HEAD}2022-08-22 03:51:00.0 +0000 UTC m=+0.113112869,1861140260,{POD},7.5,\n"
    )
    logs = day / "log" / "03_51_log.csv"
    logs.write_text(logs.read_text().replace(f"{AT_S}000000000", "-6795364578871345152"))
    found = staged(tmp_path / "set")
    times = {type(each): each.time_us.tolist() for each in rows_of(found) if not isinstance(each, SpanRows)}
    assert times == {MetricRows: [AT_S * S], LogRows: [AT_S * S + S // 2]}
    assert sum("epoch of another year" in each for each in found.notes) == 2
    assert any("SyscallRead" in each for each in found.notes), "a column without a value"


def test_a_row_of_nezha_whose_text_is_wrong_too_is_left_out_and_told(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    logs = tmp_path / "set" / "rca_data" / "2022-08-22" / "log" / "03_51_log.csv"
    logs.write_text(logs.read_text().replace(f"{AT_S}000000000", "0").replace("2022-08-22", "1970-01-01"))
    found = staged(tmp_path / "set")
    assert not [each for each in rows_of(found) if isinstance(each, LogRows)]
    assert "1 x a row of lines has a time of another day; it is left out" in found.notes


def test_a_window_of_nab_is_a_fault_with_both_ends(tmp_path: Path) -> None:
    nab(tmp_path / "set")
    (fault,) = staged(tmp_path / "set").faults
    assert isinstance(fault, ForeignFault)
    assert (fault.start_us, fault.end_us) == ((AT_S + 20) * S, (AT_S + 35) * S)


def test_a_mark_of_nab_that_no_window_holds_is_told_and_the_windows_count(tmp_path: Path) -> None:
    """NAB's issues 351 and 385: the two files of labels differ."""
    nab(tmp_path / "set")
    marks = {"cart/cpu.csv": ["2022-08-22 03:51:05", "2022-08-22 03:51:25"]}
    (tmp_path / "set" / "labels" / "combined_labels.json").write_text(json.dumps(marks))
    found = staged(tmp_path / "set")
    assert len(found.faults) == 1
    assert [each for each in found.notes if "combined_labels" in each] == [
        "1 x labels/combined_labels.json marks 2022-08-22 03:51:05 in cart/cpu.csv, which is in no window;"
        " the windows count"
    ]


def test_a_part_of_nab_is_read_with_all_its_labels_and_both_sides_of_what_is_missing_are_told(
    tmp_path: Path,
) -> None:
    """NAB's issue 224."""
    nab(tmp_path / "set")
    data, labels = tmp_path / "set" / "data" / "cart", tmp_path / "set" / "labels" / "combined_windows.json"
    (data / "other.csv").write_text((data / "cpu.csv").read_text())
    labels.write_text(json.dumps({**json.loads(labels.read_text()), "cart/gone.csv": []}))
    found = staged(tmp_path / "set")
    assert len(found.faults) == 1
    assert any("does not name cart/other.csv" in each for each in found.notes)
    assert any("labels cart/gone.csv, which is not there" in each for each in found.notes)


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
