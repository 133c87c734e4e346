"""What a recording is divided into, and how much of it a run may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_recordings import (
    AT_S,
    S,
    nab,
    nezha,
    nezha_day,
    otlp_request,
    parts_of,
    rcaeval,
    rcaeval_case,
    rows_of,
    staged,
)

from microservo.datasets.imports.span_of_time import LONGEST_US, SpanOfTime
from microservo.domain.completeness import MINUTE_US
from microservo.errors import InvalidInput

DAY_S = 86_400


def test_each_case_of_rcaeval_is_a_part_with_its_own_fault_though_they_overlap(tmp_path: Path) -> None:
    for name in ("cart_cpu/1", "cart_cpu/2", "front_mem/1"):
        rcaeval_case(tmp_path / "RE2-OB" / name)
    found = parts_of(tmp_path / "RE2-OB")
    assert [each.part for each in found] == ["cart_cpu/1", "cart_cpu/2", "front_mem/1"]
    faults = [(fault.service, fault.kind) for each in found for fault in each.faults]
    assert faults == [("cart", "cpu"), ("cart", "cpu"), ("front", "mem")]
    assert [each.records for each in found] == [13, 13, 13]
    assert len({each.folder for each in found}) == 3


def test_a_case_is_called_the_same_whoever_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rcaeval(tmp_path / "set")
    case = tmp_path / "set" / "cart_cpu" / "1"
    monkeypatch.chdir(case)
    of_set = staged(tmp_path / "set")
    # The minutes must not lie in what is read.
    from_within = staged(tmp_path / "set" / ".." / "set")
    assert (
        (of_set.part, of_set.digest)
        == (from_within.part, from_within.digest)
        == ("cart_cpu/1", of_set.digest)
    )
    (case.parents[2] / "here").symlink_to(case)
    assert staged(tmp_path / "here").part == "cart_cpu/1"


def test_a_bad_case_among_good_ones_is_named_and_none_of_them_stays(tmp_path: Path) -> None:
    for name in ("cart_cpu/1", "front_mem/1"):
        rcaeval_case(tmp_path / "set" / name)
    (tmp_path / "set" / "front_mem" / "1" / "simple_metrics.csv").unlink()
    with pytest.raises(InvalidInput, match="front_mem/1 has no metrics"):
        parts_of(tmp_path / "set")
    assert not (tmp_path / "minutes").exists()


def test_a_day_of_nezha_is_a_part_with_its_normal_and_its_faulty_minutes(tmp_path: Path) -> None:
    nezha(tmp_path / "set")
    nezha_day(tmp_path / "set" / "construct_data" / "2022-08-22", AT_S)
    nezha_day(tmp_path / "set" / "construct_data" / "2023-01-29", AT_S + 160 * DAY_S)
    found = parts_of(tmp_path / "set")
    assert [(each.part, each.records, len(each.faults)) for each in found] == [
        ("2022-08-22", 6, 1),
        ("2023-01-29", 3, 0),
    ]


def long_nab(folder: Path, days: int = 14) -> Path:
    """A signal of two weeks, as nearly all of NAB are, with three windows."""
    (folder / "data" / "aws").mkdir(parents=True)
    (folder / "labels").mkdir()
    rows = "".join(
        f"2014-02-{1 + day:02} {hour:02}:00:00,{hour}\n" for day in range(days) for hour in range(24)
    )
    (folder / "data" / "aws" / "cpu.csv").write_text(f"timestamp,value\n{rows}")
    windows = [
        ["2014-02-02 00:00:00.000000", "2014-02-02 03:00:00.000000"],
        ["2014-02-07 20:00:00.000000", "2014-02-08 03:00:00.000000"],
        ["2014-02-10 00:00:00.000000", "2014-02-10 03:00:00.000000"],
    ]
    (folder / "labels" / "combined_windows.json").write_text(json.dumps({"aws/cpu.csv": windows}))
    return folder


def test_a_recording_of_two_weeks_is_refused_with_the_way_out_which_works(tmp_path: Path) -> None:
    long_nab(tmp_path / "set")
    with pytest.raises(InvalidInput) as caught:
        staged(tmp_path / "set")
    said = str(caught.value)
    assert (
        "the recording spans 14.0 days (aws/cpu.csv, row 2 has the first instant, aws/cpu.csv, row 337"
        in said
    )
    assert "a run may span 7" in said
    begin, end = "2014-02-01T00:00:00Z", "2014-02-08T00:00:00Z"
    assert f"--from {begin} --to {end}" in said
    first_us = 1_391_212_800 * S
    within = SpanOfTime(from_us=first_us, until_us=first_us + LONGEST_US)
    found = staged(tmp_path / "set", within=within)
    assert (found.from_us, found.until_us) == (first_us, first_us + LONGEST_US - 59 * MINUTE_US)
    assert found.records == 7 * 24
    assert any(f"outside of what is asked for --from {begin} --to {end}" in each for each in found.notes)
    assert len(found.faults) == 2, "the third begins later, and is none of this run"


def test_a_fault_that_is_in_force_where_a_part_begins_begins_with_it(tmp_path: Path) -> None:
    long_nab(tmp_path / "set")
    from_us = (1_391_212_800 + 7 * DAY_S) * S
    found = staged(tmp_path / "set", within=SpanOfTime(from_us=from_us))
    assert found.faults[0].start_us == from_us
    assert any("is in force when the run begins, and begins with it" in each for each in found.notes)
    assert found.fault_free_until_us == from_us


def test_of_a_fault_without_an_end_before_a_part_nobody_says_that_it_is_over(tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    rows = "".join(f"{AT_S + each},{each}\n" for each in range(100))
    (tmp_path / "set" / "cart_cpu" / "1" / "simple_metrics.csv").write_text(f"time,cart_cpu\n{rows}")
    found = staged(tmp_path / "set", within=SpanOfTime(from_us=(AT_S + 60) * S))
    assert found.faults == ()
    assert found.fault_free_until_us is None
    assert any("nobody knows whether it is in force" in each for each in found.notes)
    assert found.records == 40


def test_parts_outside_of_what_is_asked_for_are_no_runs_and_none_at_all_is_refused(tmp_path: Path) -> None:
    rcaeval_case(tmp_path / "set" / "cart_cpu" / "1")
    rcaeval_case(tmp_path / "set" / "cart_cpu" / "2", AT_S + DAY_S)
    within = SpanOfTime(from_us=(AT_S + DAY_S // 2) * S)
    assert [each.part for each in parts_of(tmp_path / "set", within=within)] == ["cart_cpu/2"]
    with pytest.raises(InvalidInput, match=r"no point, line or span that can be used --from 2022-08-24T"):
        parts_of(tmp_path / "set", within=SpanOfTime(from_us=(AT_S + 2 * DAY_S) * S))


def test_what_begins_within_and_ends_behind_is_whole(tmp_path: Path) -> None:
    nab(tmp_path / "set")
    found = staged(tmp_path / "set", within=SpanOfTime(until_us=(AT_S + 25) * S))
    (fault,) = found.faults
    assert (fault.start_us, fault.end_us) == ((AT_S + 20) * S, (AT_S + 35) * S)
    assert max(int(each.time_us.max()) for each in rows_of(found)) == (AT_S + 20) * S  # type: ignore[union-attr]


def test_otlp_of_a_month_is_one_recording_of_which_a_week_can_be_had(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    requests = [json.dumps(otlp_request(AT_S + day * DAY_S)) for day in range(30)]
    (tmp_path / "set" / "all.jsonl").write_text("\n".join(requests) + "\n")
    with pytest.raises(
        InvalidInput, match=r"all.jsonl, row 1 has the first instant, all.jsonl, row 30 the last"
    ):
        staged(tmp_path / "set")
    within = SpanOfTime(from_us=(AT_S + 3 * DAY_S) * S, until_us=(AT_S + 9 * DAY_S) * S)
    assert staged(tmp_path / "set", within=within).records == 6
