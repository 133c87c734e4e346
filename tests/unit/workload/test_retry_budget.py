from __future__ import annotations

from services.workload.retry_budget import RetryBudget


def retries_of(calls: int) -> int:
    """How many of so many calls are made again, where all of them fail."""
    budget, retries = RetryBudget(), 0
    for _ in range(calls):
        budget.earn()
        retries += budget.spend()
    return retries


def test_a_few_failures_are_all_tried_again() -> None:
    assert retries_of(10) == 10


def test_where_every_call_fails_retries_add_a_tenth_to_the_load() -> None:
    assert retries_of(1010) - retries_of(10) == 100


def test_a_long_calm_saves_up_no_more_than_ten_retries() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
