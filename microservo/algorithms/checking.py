"""The checks that every algorithm must pass, run where it would run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from microservo.algorithms.conformance import CheckResult, run_checks
from microservo.algorithms.running import Workplace
from microservo.algorithms.session import Session
from microservo.supervision.environments import Environment


def check(
    workplace: Workplace, environment: Environment, on_start: Callable[[], None] = lambda: None
) -> tuple[CheckResult, ...]:
    """What each check found.

    Args:
        workplace: where the algorithm runs.
        environment: its environment.
        on_start: called before each process that is started for it.

    Raises:
        Unavailable: the machine refuses a process.
    """

    @contextmanager
    def session() -> Iterator[Session]:
        on_start()
        with workplace.running(environment) as running:
            yield running.session

    return run_checks(session, workplace.plugin.declaration)
