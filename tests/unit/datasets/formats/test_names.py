"""Names that a format forbids go and come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.datasets.formats.csv_files import CsvFile
from microservo.datasets.formats.names import Names, file_name, read_names
from microservo.errors import InvalidInput


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)))
def test_any_names_are_told_apart_whatever_their_case(names: set[str]) -> None:
    written = Names().map("service", names, file_name)
    assert written.keys() == names
    assert len({each.casefold() for each in written.values()}) == len(names)
    assert all(
        each.isascii() and "/" not in each and not each.startswith((".", "-")) for each in written.values()
    )


def test_who_needs_no_change_keeps_its_name() -> None:
    written = Names().map("service", ["a_b", "a-b", "A-B"], file_name)
    assert written == {"A-B": "A-B", "a-b": "a-b-2", "a_b": "a-b-3"}


def test_a_word_of_the_format_is_nobody_elses() -> None:
    written = Names().map("metric", ["cpu", "process.cpu"], str, {"process.cpu": "cpu"}, reserved=["error"])
    assert written == {"process.cpu": "cpu", "cpu": "cpu-2"}
    assert Names().map("metric", ["error"], str, reserved=["error"]) == {"error": "error-2"}


def test_they_come_back_by_the_file(tmp_path: Path) -> None:
    names = Names()
    services = names.map("service", ['a "b",\nc', "../../etc", "ü"], file_name)
    names.map("metric", ["x"], str)
    table = names.table()
    with CsvFile(tmp_path / "names.csv", table.schema) as file:
        file.append(table)
    found = read_names(tmp_path / "names.csv")
    assert found["service"] == {written: name for name, written in services.items()}
    assert found["metric"] == {"x": "x"}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "", "\udcff"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.csv").write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(InvalidInput, match=r"names\.csv"):
        read_names(tmp_path / "names.csv")
