"""A ledger adds up, or it is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.domain.datasets.ledger import LedgerRow, added_up, ledger_problems

ROW = LedgerRow(
    source="telemetry-logs",
    service="cart",
    minute_us=60_000_000,
    read=21,
    in_windows=6,
    late=5,
    duplicate=4,
    dropped=3,
    rejected=2,
    unfinished=1,
)


def test_a_ledger_that_adds_up_has_no_problems() -> None:
    assert ledger_problems([ROW], {"telemetry-logs": 21, "telemetry-metrics": 0}) == []


@pytest.mark.parametrize("name", ["in_windows", "late", "duplicate", "dropped", "rejected", "unfinished"])
def test_a_count_that_is_missing_breaks_the_identity(name: str) -> None:
    less: dict[str, Any] = {name: 0}
    problems = ledger_problems([replace(ROW, **less)], {"telemetry-logs": 21})
    assert len(problems) == 1
    assert "telemetry-logs of cart at 60000000: 21 read" in problems[0]


def test_what_a_fault_took_away_was_read_by_nobody_and_is_added_up() -> None:
    lost = replace(ROW, lost=7)
    assert ledger_problems([lost], {"telemetry-logs": 21}) == []
    assert [row.lost for row in added_up([lost, lost, ROW])] == [14]


def test_records_that_the_writers_sent_and_nobody_read_are_noticed() -> None:
    assert ledger_problems([ROW], {"telemetry-logs": 22}) == [
        "ledger: telemetry-logs: 21 read, 22 produced by the writers' stamps"
    ]


def test_a_source_without_any_row_is_noticed() -> None:
    assert len(ledger_problems([], {"telemetry-logs": 1})) == 1


def test_a_row_of_a_source_that_nobody_wrote_is_noticed() -> None:
    assert len(ledger_problems([ROW], {})) == 1


def test_rows_of_the_same_place_are_added_up() -> None:
    other = replace(ROW, service="checkout")
    later = replace(ROW, minute_us=120_000_000)
    first, second, third = added_up([later, other, ROW, ROW])
    assert (first.service, first.read, first.accounted) == ("cart", 42, 42)
    assert (second, third) == (other, later)
