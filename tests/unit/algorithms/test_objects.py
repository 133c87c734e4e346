from __future__ import annotations

import sys
from typing import Any

import pytest

from microservo.algorithms.fenced.objects import Refused, find, make


class Inner:
    def __init__(self, size: int = 1, seed: int = 0) -> None:
        self.size, self.seed = size, seed


class Outer:
    def __init__(self, inner: Any, others: Any = (), settings: Any = None) -> None:
        self.inner, self.others, self.settings = inner, others, settings


HERE = __name__
INNER = {"object": f"{HERE}:Inner", "params": {"size": 7}}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])


def test_a_parameter_that_is_declared_as_an_object_is_made_with_the_same_seed() -> None:
    made = make(Outer, {"inner": INNER, "others": [INNER, {"object": f"{HERE}:Inner"}]}, 5)
    assert [(each.size, each.seed) for each in (made.inner, *made.others)] == [(7, 5), (7, 5), (1, 5)]


def test_two_that_are_made_share_no_object() -> None:
    first, second = (make(Outer, {"inner": INNER}, 5) for _ in range(2))
    assert first.inner is not second.inner


@pytest.mark.parametrize("given", [{"object": 1, "size": 2}, {"size": 7}, {}, "object", ["object"]])
def test_other_tables_and_lists_are_given_as_they_are(given: Any) -> None:
    assert make(Outer, {"inner": None, "settings": given}, 5).settings == given


def test_a_parameter_that_can_not_be_made_is_refused_with_its_name() -> None:
    with pytest.raises(Refused, match=r"has no 'Outside' for '.*:Outside'"):
        make(Outer, {"inner": {"object": f"{HERE}:Outside"}}, 5)
    with pytest.raises(Refused, match=r"Inner can't be made .* it takes size, seed"):
        make(Outer, {"inner": {"object": f"{HERE}:Inner", "params": {"length": 1}}}, 5)
    assert find(f"{HERE}:Inner") is Inner
