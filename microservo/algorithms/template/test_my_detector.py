"""Needs no network and no running system: `pytest`."""

from pathlib import Path

from microservo.testing import check_algorithm


def test_it_keeps_to_what_every_algorithm_keeps_to() -> None:
    check_algorithm(str(Path(__file__).parent))
