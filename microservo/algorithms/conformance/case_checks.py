"""What every ranker and every classifier keeps to. A check says what it saw, or raises `Failed`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from microservo.algorithms.conformance.processes import (
    BROKEN,
    CHANGED,
    NAMES,
    SERVICES,
    Failed,
    Processes,
    case_of,
)
from microservo.algorithms.session import Case, Session


def it_ranks_services_of_the_case(processes: Processes) -> str:
    ranking = processes.first().rank(case_of(BROKEN))
    if not ranking.services:
        msg = "it ranked nothing; expected at least one service or column of the case"
        raise Failed(msg)
    return ", ".join(ranking.services)


def the_broken_service_is_ranked_in_the_upper_half(processes: Processes) -> str:
    if processes.declaration.control:
        return "a control need not"
    services = processes.first().rank(case_of(BROKEN)).services
    if BROKEN not in services[: len(SERVICES) // 2]:
        msg = f"the only service that changed, {BROKEN}, is not among the first two of {', '.join(services)}"
        raise Failed(msg)
    return ""


def the_same_case_gives_the_same_ranks(processes: Processes) -> str:
    sessions = (processes.first(), processes.first(), processes.second())
    one, *others = [session.rank(case_of(BROKEN)).causes for session in sessions]
    for other in others:
        if other != one:
            msg = f"the same case was ranked {one[:5]}, then {other[:5]}; draw all random numbers from `seed`"
            raise Failed(msg)
    return ""


def a_case_may_lack_what_it_likes(processes: Processes) -> str:
    case = case_of(BROKEN)
    bare = {"cart": ((), np.empty((len(case.start_us), 0)))}
    silent = {"payment": (NAMES, np.full((len(case.start_us), len(NAMES)), np.nan))}
    features = {**case.features, **bare, **silent}
    processes.first().rank(Case(alarm_us=case.alarm_us, start_us=case.start_us, features=features))
    return ""


def it_tells_kinds_apart_that_differ(processes: Processes) -> str:
    session = processes.first()
    session.train(_training_cases())
    expected = list(CHANGED) * 3
    found = [_likeliest(session, kind, seed=100 + turn) for turn, kind in enumerate(expected)]
    right = sum(one == other for one, other in zip(found, expected, strict=True))
    if processes.declaration.control:
        return "a control need not"
    if right <= len(found) / 2:
        msg = (
            f"{right} of {len(found)} cases of two kinds that differ were told right; expected more than half"
        )
        raise Failed(msg)
    return f"{right} of {len(found)}"


def taught_the_same_it_says_the_same(processes: Processes) -> str:
    # The first one was taught by the check before.
    first, second = processes.first(), processes.second()
    second.train(_training_cases())
    found = [each.classify(case_of(BROKEN, "slow", seed=100)) for each in (first, second)]
    if found[0] != found[1]:
        msg = f"the same case got {found[0]} and {found[1]}; draw all random numbers from `random_state`"
        raise Failed(msg)
    return ""


def _training_cases() -> Sequence[tuple[Case, str]]:
    return [(case_of(BROKEN, kind, seed), kind) for seed in range(1, 9) for kind in CHANGED]


def _likeliest(session: Session, kind: str, seed: int) -> str:
    found = session.classify(case_of(BROKEN, kind, seed))
    return max(found, key=lambda name: found[name])
