"""Every shipped detector keeps to the checks that anybody's must pass, and can be put away and taken up."""

from __future__ import annotations

import pytest

from microservo.domain.detectors import ALGORITHMS, PersistentDetector, is_control, make_detector
from microservo.errors import InvalidInput
from microservo.testing.algorithms import CHECKS
from microservo.testing.checks import Check


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_shipped(check: Check, algorithm: str) -> None:
    check(lambda: make_detector(algorithm, seed=7, service="cart"))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_its_memory_survives_the_process(algorithm: str) -> None:
    assert isinstance(make_detector(algorithm), PersistentDetector)


def test_the_one_that_knows_nothing_says_so() -> None:
    assert [name for name in ALGORITHMS if is_control(make_detector(name))] == ["random"]


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="unknown algorithm 'oracle'; expected one of n-sigma, random"):
        make_detector("oracle")
