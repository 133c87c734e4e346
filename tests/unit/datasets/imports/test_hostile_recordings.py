"""What is broken, or made to break: one line that names file and row, bounded memory, nothing left behind."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_recordings import AT_S, LAST_ROW, MADE, nab, nezha, parts_of, rcaeval, rows_of, staged

from microservo.domain.rows import LogRows, MetricRows
from microservo.errors import InvalidInput

GIB = 1 << 30
MOST_BYTES = 256 << 20
"""A body of OTLP may be 64 MiB, and is held as bytes and as text for a moment."""


def refusal(folder: Path, name: str = "auto") -> str:
    """Why a recording is refused; it has to be one short line, and to leave nothing."""
    with pytest.raises(InvalidInput) as caught:
        parts_of(folder, name)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 500
    assert sorted(each.name for each in folder.parent.iterdir()) == [folder.name]
    return said


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"a,b,c\xff\n", ""),
        (b'"cut', ""),
        ("é,é\n".encode("latin-1"), ""),
        (b'"' + b"x" * (5 << 20), ""),
        (b"\0\0\0\n", ""),
    ],
    ids=["no UTF-8", "cut in a quote", "Latin-1", "long", "zeros"],
)
def test_a_row_that_cant_be_read_is_named(name: str, bad: bytes, words: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    file, row = LAST_ROW[name]
    with (tmp_path / "set" / file).open("ab") as spoiled:
        spoiled.write(bad)
    said = refusal(tmp_path / "set", name)
    assert f"{Path(file).name}, row {row}" in said
    assert words in said


@pytest.mark.parametrize("name", MADE)
def test_a_line_of_a_gigabyte_costs_no_more_memory_than_a_row_may_have(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    file, row = LAST_ROW[name]
    path = tmp_path / "set" / file
    # A hole, which takes no room.
    os.truncate(path, path.stat().st_size + GIB)
    tracemalloc.start()
    try:
        said = refusal(tmp_path / "set", name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"{Path(file).name}, row {row}" in said
    assert "longer than" in said
    assert peak < MOST_BYTES


@pytest.mark.parametrize("name", ["nezha", "rcaeval", "petshop", "nab"])
def test_a_file_in_utf_16_or_without_rows_is_refused(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    path = tmp_path / "set" / LAST_ROW[name][0]
    text = path.read_text()
    path.write_text(text, "utf-16")
    assert f"{path.name}, row 1: byte 0 is no UTF-8; convert the file" in refusal(tmp_path / "set", name)
    path.write_text("")
    assert f"{path.name}, row 1" in refusal(tmp_path / "set", name)
    path.write_text(text, "utf-8-sig")
    assert staged(tmp_path / "set", name).records


@pytest.mark.parametrize("name", ["nezha", "rcaeval", "petshop", "nab"])
def test_a_row_that_was_cut_is_refused_and_one_that_may_have_been_is_told(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    path = tmp_path / "set" / LAST_ROW[name][0]
    whole = path.read_text()
    path.write_text(whole[: whole.rindex(",", 0, -2)] if name != "nab" else whole[:-5])
    assert f"{path.name}, row {LAST_ROW[name][1] - 1}" in refusal(tmp_path / "set", name)
    path.write_text(whole[:-1])
    assert any("no line end; was the file cut?" in each for each in staged(tmp_path / "set", name).notes)


def test_a_row_of_endlessly_many_lines_is_refused(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    with (tmp_path / "set" / "cart_cpu" / "1" / "logs.csv").open("a") as file:
        file.write('"' + '\n","' * (2 << 20))
    assert "logs.csv, row" in (said := refusal(tmp_path / "set"))
    assert "longer than 4194304 bytes; is a quote missing?" in said


@pytest.mark.parametrize("name", ["nezha", "rcaeval", "petshop", "nab"])
def test_other_columns_than_those_that_are_needed_are_named_with_those_that_there_are(
    name: str, tmp_path: Path
) -> None:
    MADE[name](tmp_path / "set")
    path = tmp_path / "set" / LAST_ROW[name][0]
    path.write_text("when,what\n1,2\n")
    assert f"{path.name}, row 1: " in (said := refusal(tmp_path / "set", name))
    assert "when" in said


def test_unknown_columns_and_those_that_come_twice_are_told_with_file_and_row(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    case = tmp_path / "set" / "cart_cpu" / "1"
    (case / "logs.csv").write_text(f"timestamp,container_name,message,colour\n{AT_S}000000001,cart,a,red\n")
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu,cart_cpu,time\n{AT_S},1,2,3\n")
    found = staged(tmp_path / "set")
    assert "1 x cart_cpu/1/logs.csv, row 1: column colour is not known, and left out" in found.notes
    twice = (
        "1 x cart_cpu/1/simple_metrics.csv, row 1: column cart_cpu, time is there twice;"
        " the first of both counts"
    )
    assert twice in found.notes
    (points,) = (each for each in rows_of(found) if isinstance(each, MetricRows))
    assert points.value.tolist() == [1.0]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0, 1, 2, 1, 3], "1 x {}: the clock goes back; rows count at the time that they have"),
        ([0, 1, 1, 2, 3], "1 x {}: an instant comes again; both rows count"),
        (
            [0, 1, 2, 3602, 3603],
            "1 x {}: the time jumps ahead by over 10 rows (3600 s at most), and nothing is put there",
        ),
    ],
)
def test_a_clock_that_jumps_is_told_and_no_row_is_lost(times: list[int], words: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    case = tmp_path / "set" / "cart_cpu" / "1"
    rows = "".join(f"{AT_S + each},{each}.5\n" for each in times)
    (case / "simple_metrics.csv").write_text(f"time,cart_cpu\n{rows}")
    found = staged(tmp_path / "set")
    assert words.format("cart_cpu/1/simple_metrics.csv") in found.notes
    points = [each for each in rows_of(found) if isinstance(each, MetricRows)]
    assert sum(each.count for each in points) == len(times)


@pytest.mark.parametrize("years_s", [3 * 365 * 86_400, -3 * 365 * 86_400])
def test_a_clock_that_jumps_by_years_is_named_by_file_and_row(years_s: int, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    path = tmp_path / "set" / "cart_cpu" / "1" / "simple_metrics.csv"
    path.write_text(f"time,cart_cpu\n{AT_S},1\n{AT_S + years_s},2\n")
    said = refusal(tmp_path / "set")
    assert "the recording spans 109" in said
    assert f"simple_metrics.csv, row 3 {'the last' if years_s > 0 else 'has the first instant'}" in said


@pytest.mark.parametrize(
    "text", ["1661140260000", "0", "-5", "yesterday", "1_661_140_260", "inf", "9" * 5000]
)
def test_what_is_no_instant_in_the_unit_of_its_column_is_refused(text: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    path = tmp_path / "set" / "cart_cpu" / "1" / "simple_metrics.csv"
    path.write_text(f"time,cart_cpu\n{text},1\n")
    assert "simple_metrics.csv, row 2: time is" in refusal(tmp_path / "set")


def test_ids_of_spans_that_come_again_count_once_and_are_told(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    path = tmp_path / "set" / "cart_cpu" / "1" / "traces.csv"
    first, *rest = path.read_text().splitlines(keepends=True)
    once = staged(tmp_path / "set").records
    path.write_text("".join((first, *rest, *rest)))
    found = staged(tmp_path / "set")
    assert found.records == once
    assert "2 x cart_cpu/1/traces.csv has the id of a span again, so that row is left out" in found.notes


def test_labels_that_come_again_count_once_and_are_told(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    path = tmp_path / "set" / "rca_data" / "2022-08-22" / "2022-08-22-fault_list.json"
    (label,) = json.loads(path.read_text())["03"]
    path.write_text(json.dumps({"03": [label, label]}))
    found = staged(tmp_path / "set")
    assert len(found.faults) == 1
    assert any("comes again, and is left out" in each for each in found.notes)


LABELS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nezha": ("rca_data/2022-08-22/2022-08-22-fault_list.json", lambda: b'{"03": [7]}'),
    "petshop": ("high_traffic/test/issue_0/target.json", lambda: b'{"target": 7}'),
    "nab": ("labels/combined_windows.json", lambda: b'{"cart/cpu.csv": [["2022-08-22 03:51:20"]]}'),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_cant_be_read_or_say_nothing_are_refused_by_file(name: str, tmp_path: Path) -> None:
    MADE[name](tmp_path / "set")
    file, odd = LABELS[name]
    path = tmp_path / "set" / file
    for content in (odd(), b"{\n{", b"\xff\xfe", b"[" * 200_000, b"NaN", b""):
        path.write_bytes(content)
        assert path.name in refusal(tmp_path / "set", name), content
    os.truncate(path, GIB)
    assert "larger than" in refusal(tmp_path / "set", name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"soon\n", "row 1: 'soon' in folder"),
        ("\u0661\u0662".encode(), "row 1: "),
        (b"1" * 5000, "row 1: "),
    ],
)
def test_an_injection_of_no_second_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    (tmp_path / "set" / "cart_cpu" / "1" / "inject_time.txt").write_bytes(content)
    assert f"inject_time.txt, {words}" in refusal(tmp_path / "set")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"cart_cpu": [[%d, 1], ["soon", 2]]}', "metrics.json, row 2: time is 'soon'"),
        ('{"cart_cpu": [[%d, 1], [Infinity, 2]]}', "metrics.json, row 2: time is 'inf'"),
        ('{"cart_cpu": [[%d, "much"]]}', "metrics.json, row 1: cart_cpu is 'much', which is no number"),
        ('{"cart_cpu": [[%d, 1, 2]]}', "metrics.json, row 1: "),
        ('{"cart_cpu": %d}', "metrics.json, row 1: "),
        ("[%d]", "metrics.json, row 1: it is no"),
        ('{"cart_cpu": [[%d, 1],\n', "metrics.json, row 2: no JSON"),
    ],
)
def test_pairs_that_are_none_are_named(content: str, words: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    (tmp_path / "set" / "cart_cpu" / "1" / "metrics.json").write_text(content % AT_S)
    assert words in refusal(tmp_path / "set")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"cart_cpu": [1.0]}), "row 1: there is no column time; it has cart_cpu"),
        (pa.table({"time": [AT_S, 7], "cart_cpu": [1.0, 2.0]}), "row 2: time is '7'"),
        (pa.table({"time": [AT_S], "cart_cpu": ["much"]}), "row 1: cart_cpu is 'much', which is no number"),
        (pa.table({"time": pa.array([AT_S, None]), "cart_cpu": [1.0, 2.0]}), "row 2: time is 'None'"),
        (pa.table({"time": pa.array([AT_S] * 2_000_001, pa.int64())}), "rows; expected one a second"),
        (None, "row 1: it can't be read"),
    ],
    ids=["no time", "odd time", "no number", "null", "bomb", "cut"],
)
def test_parquet_that_cant_be_read_or_explodes_is_refused(
    table: pa.Table | None, words: str, tmp_path: Path
) -> None:
    rcaeval(tmp_path / "set")
    path = tmp_path / "set" / "cart_cpu" / "1" / "metrics.parquet"
    pq.write_table(table or pa.table({"time": [AT_S]}), path)
    if table is None:
        path.write_bytes(path.read_bytes()[:-10])
    said = refusal(tmp_path / "set")
    assert "cart_cpu/1/metrics.parquet, row " in said
    assert words in said


@pytest.mark.parametrize("is_coded", [True, False], ids=["coded", "plain"])
def test_texts_in_parquet_that_stand_there_once_for_many_rows_dont_fill_the_memory(
    is_coded: bool, tmp_path: Path
) -> None:
    rcaeval(tmp_path / "set")
    count = 100
    table = {"timestamp": [AT_S * 10**9] * count, "container_name": ["cart"] * count}
    messages = pa.array(["x" * (1 << 20)] * count).dictionary_encode()
    path = tmp_path / "set" / "cart_cpu" / "1" / "logs.parquet"
    pq.write_table(pa.table({**table, "message": messages}), path, store_schema=is_coded)
    assert path.stat().st_size < 1 << 20
    if is_coded:
        (lines,) = (each for each in rows_of(staged(tmp_path / "set")) if isinstance(each, LogRows))
        assert lines.count == count
    else:
        assert "cart_cpu/1/logs.parquet, row 1: 100 rows take 1048" in refusal(tmp_path / "set")


def test_names_without_end_are_cut_and_lines_like_any_others(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    case = tmp_path / "set" / "cart_cpu" / "1"
    (case / "logs.csv").write_text(
        f"timestamp,container_name,message\n{AT_S}000000001,{'c' * 9000},{'x' * 99_999}\n"
    )
    (case / "simple_metrics.csv").write_text(f"time,cart_{'m' * 9000}\n{AT_S},1\n")
    found = rows_of(staged(tmp_path / "set"))
    (lines,) = (each for each in found if isinstance(each, LogRows))
    (points,) = (each for each in found if isinstance(each, MetricRows))
    assert (len(lines.service), len(lines.bodies[0]), len(points.name.names[0])) == (256, 16_384, 256)


def test_a_record_that_names_no_service_is_left_out_and_told(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    logs = tmp_path / "set" / "cart_cpu" / "1" / "logs.csv"
    logs.write_text(f"timestamp,container_name,message\n{AT_S}000000001,,whose\n")
    found = staged(tmp_path / "set")
    assert "1 x a record names no service, and is left out" in found.notes
    assert not [each for each in rows_of(found) if isinstance(each, LogRows)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n", "row 1: columns"),
        (b"what,name,written_as\nservice,cart\n", "row 2: 2 values"),
        (b"\xff", "can't be read"),
        (b'"', "can't be read"),
        (None, "is larger than"),
    ],
)
def test_names_that_cant_be_read_are_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    nab(tmp_path / "set")
    path = tmp_path / "set" / "names.csv"
    path.write_bytes(content or b"")
    if content is None:
        os.truncate(path, GIB)
    assert "names.csv" in (said := refusal(tmp_path / "set"))
    assert words in said


def test_what_leads_out_of_the_folder_or_never_ends_is_refused(tmp_path: Path) -> None:
    assert "is no folder, and no archive" in refusal_of_nothing(tmp_path)
    place = tmp_path / "a"
    nab(place / "set")
    odd = place / "set" / "data" / "cart" / "odd.csv"
    cases: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: odd.symlink_to("/etc/hostname"), "is a link that leads out of"),
        (lambda: odd.symlink_to(odd.name), "is a link that leads nowhere"),
        (lambda: odd.symlink_to("gone.csv"), "is a link that leads nowhere"),
        (lambda: os.mkfifo(odd), "is a device or a pipe, and no file"),
    )
    for make, words in cases:
        make()
        assert words in refusal(place / "set", "nab")
        odd.unlink()


def refusal_of_nothing(folder: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        parts_of(folder / "absent" / "set")
    return str(caught.value)
