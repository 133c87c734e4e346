"""What every algorithm keeps to, tried on a process that runs it: each check with its result and reason.

The same checks run over a plain process (an author's tests) and over the fenced one (at deploy): they take
what opens a session. What is drawn comes from a seed; only what is measured differs between runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from microservo.algorithms.conformance.case_checks import (
    a_case_may_lack_what_it_likes,
    it_ranks_services_of_the_case,
    it_tells_kinds_apart_that_differ,
    taught_the_same_it_says_the_same,
    the_broken_service_is_ranked_in_the_upper_half,
    the_same_case_gives_the_same_ranks,
)
from microservo.algorithms.conformance.detector_checks import (
    a_window_is_scored_in_time,
    an_odd_window_outscores_the_median_of_normal_ones,
    features_may_vanish_and_others_come,
    its_memory_does_not_grow_with_the_stream,
    scores_are_numbers_once_it_is_ready,
    scoring_changes_nothing,
    the_same_seed_gives_the_same_scores,
    undefined_values_do_not_silence_it,
    what_it_learned_can_be_put_away,
    windows_that_never_change_never_alarm,
)
from microservo.algorithms.conformance.processes import Failed, OpenSession, Processes
from microservo.algorithms.declaration import Declaration
from microservo.errors import AlgorithmFailed

__all__ = ["CheckResult", "OpenSession", "run_checks"]

Check = Callable[[Processes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: the sentence that must hold.
        ok: whether it does.
        reason: what was seen; of one that holds, a figure, or nothing.
        seconds: how long it took.
    """

    name: str
    ok: bool
    reason: str
    seconds: float


def it_can_be_opened(processes: Processes) -> str:
    processes.first()
    opened = processes.opened
    assert opened is not None
    return f"Python {opened.python}, called by `{opened.style}`" + (
        "" if opened.sign > 0 else ", sign turned"
    )


_CHECKS: dict[str, tuple[Check, ...]] = {
    "detector": (
        a_window_is_scored_in_time,
        scores_are_numbers_once_it_is_ready,
        an_odd_window_outscores_the_median_of_normal_ones,
        windows_that_never_change_never_alarm,
        undefined_values_do_not_silence_it,
        features_may_vanish_and_others_come,
        the_same_seed_gives_the_same_scores,
        scoring_changes_nothing,
        what_it_learned_can_be_put_away,
        its_memory_does_not_grow_with_the_stream,
    ),
    "ranker": (
        it_ranks_services_of_the_case,
        the_broken_service_is_ranked_in_the_upper_half,
        the_same_case_gives_the_same_ranks,
        a_case_may_lack_what_it_likes,
    ),
    "classifier": (it_tells_kinds_apart_that_differ, taught_the_same_it_says_the_same),
}
"""Of each task."""
_FIRST = (it_can_be_opened, a_window_is_scored_in_time)
"""What does not hold here would only hold up the others."""


def run_checks(open_session: OpenSession, declaration: Declaration) -> tuple[CheckResult, ...]:
    """Runs all checks of a task. Where it can't be opened, or is too slow, that is the last one.

    Args:
        open_session: gives a process with the algorithm, each time another one.
        declaration: of the algorithm.
    """
    with Processes(open_session, declaration) as processes:
        results: list[CheckResult] = []
        for check in (it_can_be_opened, *_CHECKS[declaration.task]):
            results.append(_result(check, processes))
            if check in _FIRST and not results[-1].ok:
                break
        return tuple(results)


def _result(check: Check, processes: Processes) -> CheckResult:
    began_s = time.monotonic()
    ok = False
    try:
        reason = check(processes)
        ok = True
    except Failed as error:
        reason = str(error)
    except AlgorithmFailed as error:
        reason = str(error)
        # What it was asked may still be on its way.
        processes.drop()
    name = check.__name__.replace("_", " ")
    return CheckResult(name=name, ok=ok, reason=reason, seconds=time.monotonic() - began_s)
