from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.faults.units import (
    format_duration,
    format_rate,
    format_size,
    parse_count,
    parse_duration,
    parse_rate,
    parse_ratio,
    parse_size,
    parse_text,
)
from microservo.errors import InvalidInput

NUMBERS = st.integers(min_value=0, max_value=10**15)


@pytest.mark.parametrize(
    ("text", "duration_us"),
    [("300ms", 300_000), ("1.5s", 1_500_000), (" 20 s ", 20_000_000), ("2min", 120_000_000), ("7us", 7)],
)
def test_durations_are_microseconds(text: str, duration_us: int) -> None:
    assert parse_duration(text) == duration_us


@pytest.mark.parametrize(
    ("text", "expected"), [("64MiB", 64 * 2**20), ("1kB", 1000), ("0.5KiB", 512), ("9B", 9)]
)
def test_sizes_are_bytes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1Mbit/s", 125_000), ("32kbit/s", 4_000), ("64KiB/s", 65_536)]
)
def test_rates_are_bytes_per_second(text: str, expected: int) -> None:
    assert parse_rate(text) == expected


@pytest.mark.parametrize(("text", "ratio"), [("30%", 0.3), ("0.3", 0.3), ("100 %", 1.0), ("1", 1.0)])
def test_shares_may_be_per_cent(text: str, ratio: float) -> None:
    assert parse_ratio(text) == ratio


@given(NUMBERS)
def test_a_written_duration_is_read_back(duration_us: int) -> None:
    assert parse_duration(format_duration(duration_us)) == duration_us


@given(NUMBERS)
def test_a_written_size_is_read_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(NUMBERS)
def test_a_written_rate_is_read_back(bytes_per_s: int) -> None:
    assert parse_rate(format_rate(bytes_per_s)) == bytes_per_s


@given(st.text(max_size=100))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_rate, parse_ratio, parse_count, parse_text):
        with suppress(InvalidInput):
            parse(text)


def test_a_duration_without_a_unit_is_refused_and_the_units_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"'20' is not understood.*units: h, min, s, ms, us"):
        parse_duration("20")


def test_what_is_finer_than_the_canonical_unit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="whole number of microseconds"):
        parse_duration("0.5us")


@pytest.mark.parametrize("text", ["1_000ms", "\u0661s", "1e3s", "ms", "", "1 0s", "nan", "-"])
def test_odd_numbers_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


def test_a_count_is_whole() -> None:
    assert parse_count("3") == 3
    with pytest.raises(InvalidInput):
        parse_count("3.5")


def test_a_text_has_plain_signs_only() -> None:
    assert parse_text("GetCart") == "GetCart"
    with pytest.raises(InvalidInput):
        parse_text("Get Cart\n")
