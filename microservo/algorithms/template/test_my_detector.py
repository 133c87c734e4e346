"""Needs no network and no running system: `pytest`."""

from pathlib import Path

from microservo.testing import check_algorithm, try_algorithm

HERE = str(Path(__file__).parent)


def test_it_keeps_to_what_every_algorithm_keeps_to() -> None:
    check_algorithm(HERE)


def test_it_finds_the_faults_of_a_recorded_run_better_than_chance() -> None:
    assert try_algorithm(HERE).values["lift_over_random"] > 1
