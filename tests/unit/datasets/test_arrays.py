"""Arrow arrays put together by hand are those that PyArrow makes of the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from microservo.datasets.arrays import array_of, column_array, values_of
from microservo.datasets.tables import TEXTS, TIME

COLUMNS: list[tuple[list[Any], pa.DataType]] = [
    (["cart", "", "straße", "日本"], pa.string()),
    (["cart", None, ""], pa.string()),
    ([1, -(1 << 62)], pa.int64()),
    ([1, None, 3], pa.int32()),
    ([0.5, float("inf"), None], pa.float64()),
    ([True, False, None] * 5, pa.bool_()),
    ([True, False, True] * 5, pa.bool_()),
    ([0, 1_700_000_000_000_001, None], TIME),
    ([("a", "b"), (), ("c",)], TEXTS),
    ([["a"], None, []], TEXTS),
    ([[1, 2], []], pa.list_(pa.field("item", pa.int64(), nullable=False))),
    ([None, None], pa.string()),
    *[([], kind) for kind in (pa.string(), pa.bool_(), pa.int64(), TIME, TEXTS)],
]


@pytest.mark.parametrize(("values", "kind"), COLUMNS)
def test_an_array_is_what_pyarrow_makes_of_the_values(values: list[Any], kind: pa.DataType) -> None:
    found = array_of(values, kind)
    found.validate(full=True)
    assert found.equals(pa.array(values, kind))
    assert found.null_count == values.count(None)


def test_nan_stays_a_number() -> None:
    found = array_of([float("nan"), None], pa.float64())
    assert found.null_count == 1
    assert np.isnan(found[0].as_py())


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.float64(), pa.bool_(), TIME])
def test_a_column_is_null_where_it_is_unknown(kind: pa.DataType) -> None:
    column = np.array([0, 1, 1, 0, 1], np.uint8)
    assert column_array(column, kind).null_count == 0
    found = column_array(column, kind, unknown=column == 0)
    found.validate(full=True)
    assert [value is None for value in found.to_pylist()] == [True, False, False, True, False]


def test_every_other_row_of_a_column_is_taken_as_it_is_seen() -> None:
    assert column_array(np.arange(6)[::2]).to_pylist() == [0, 2, 4]


@pytest.mark.parametrize("values", [np.arange(7), np.array([b"12345678"] * 3, "V8"), np.array([0.5, np.nan])])
def test_a_column_comes_back_as_it_was(values: Any) -> None:
    assert values_of(column_array(values)).tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("values", "kind"), [case for case in COLUMNS if None not in case[0] and not pa.types.is_list(case[1])]
)
def test_values_of_a_part_are_those_of_that_part(values: list[Any], kind: pa.DataType) -> None:
    part = pa.array([*values, *values], kind)[1:]
    assert values_of(part).tolist() == [*values, *values][1:]
    assert values_of(pa.chunked_array([part, part], kind)).tolist() == 2 * [*values, *values][1:]


def test_a_column_of_a_table_without_rows_has_no_values() -> None:
    assert values_of(pa.chunked_array([], pa.int64())).tolist() == []
