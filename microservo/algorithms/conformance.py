"""What every algorithm keeps to, tried on a process that runs it: each check with its result and the reason.

The same checks run over a plain process (an author's tests) and over the fenced one (at deploy): they take what
opens a session. What is drawn is drawn from a seed; only what is measured (time, memory) differs between runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.session import Case, Session
from microservo.errors import AlgorithmFailed, AlgorithmRefused

OpenSession = Callable[[], AbstractContextManager[Session]]
"""A new process each time, not opened yet."""

NAMES = (
    "log/severity/error",
    "log/severity/info",
    "log/template/order <*> placed",
    "metric/process.cpu.utilization/mean",
    "metric/process.memory.usage/mean",
    "request/*/count",
    "request/*/error_share",
    "request/*/p50_ms",
    "request/*/p90_ms",
    "request/*/p99_ms",
)
"""Features as windows have them."""
_LEVELS = np.array([2.0, 40.0, 20.0, 0.3, 2e8, 60.0, 0.02, 5.0, 12.0, 30.0])
_SIGMAS = np.array([1.0, 5.0, 3.0, 0.05, 5e6, 6.0, 0.01, 0.5, 1.5, 5.0])
_ODD_SIGMAS = 8.0
_WARM_UP = 700
_PROBES = 50
_LATENCY_ROWS = 100
_GROWTH_WINDOWS = 2000
_MAX_GROWTH_BYTES_PER_WINDOW = 1024
_SERVICES = ("cart", "checkout", "frontend", "payment")
_GRAPH = (("frontend", "cart"), ("frontend", "checkout"), ("checkout", "payment"))
_BROKEN = "payment"
_WINDOW_US = 5_000_000


class _Failed(Exception):
    """A check does not hold; the message says what was seen and what was expected."""


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


Check = Callable[[OpenSession, Declaration], str]


def run_checks(open_session: OpenSession, declaration: Declaration) -> tuple[CheckResult, ...]:
    """Runs all checks of a task. Where it can't even be opened, that is the only one.

    Args:
        open_session: gives a process with the algorithm, each time another one.
        declaration: of the algorithm.
    """
    first = _result(it_can_be_opened, open_session, declaration)
    if not first.ok:
        return (first,)
    return first, *(_result(check, open_session, declaration) for check in CHECKS[declaration.task])


def _result(check: Check, open_session: OpenSession, declaration: Declaration) -> CheckResult:
    began_s = time.monotonic()
    ok = False
    try:
        reason = check(open_session, declaration)
        ok = True
    except (_Failed, AlgorithmFailed) as error:
        reason = str(error)
    name = check.__name__.replace("_", " ")
    return CheckResult(name=name, ok=ok, reason=reason, seconds=time.monotonic() - began_s)


def it_can_be_opened(open_session: OpenSession, declaration: Declaration) -> str:
    with open_session() as session:
        opened = session.open()
    del declaration
    return f"Python {opened.python}, called by `{opened.style}`" + ("" if opened.sign > 0 else ", sign turned")


def an_odd_window_outscores_the_median_of_normal_ones(
    open_session: OpenSession, declaration: Declaration
) -> str:
    if declaration.control:
        return "a control need not"
    rng = _rng()
    with _trained(open_session, _WARM_UP) as session:
        median = float(np.median(session.score("cart", NAMES, _normal(rng, _PROBES)).scores))
        odd = (_LEVELS + _ODD_SIGMAS * _SIGMAS)[np.newaxis]
        score = float(session.score("cart", NAMES, odd).scores[0])
    if not score > median:
        msg = (
            f"a window {_ODD_SIGMAS:g} sigmas off got {score:.4g}, the median of normal ones is {median:.4g}; "
            "higher must be more anomalous: turn the sign, or learn from what is normal"
        )
        raise _Failed(msg)
    return f"{score:.4g} against {median:.4g}"


def scores_are_numbers_once_it_is_ready(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    with _trained(open_session, _WARM_UP) as session:
        scores = session.score("cart", NAMES, _normal(_rng(), _PROBES)).scores
    if np.isnan(scores).any():
        msg = f"{int(np.isnan(scores).sum())} of {_PROBES} scores are NaN after {_WARM_UP} windows; expected none"
        raise _Failed(msg)
    return ""


def windows_that_never_change_are_no_error(open_session: OpenSession, declaration: Declaration) -> str:
    with _opened(open_session) as session:
        session.learn("cart", NAMES, np.tile(_LEVELS, (_WARM_UP, 1)))
        scores = session.score("cart", NAMES, np.tile(_LEVELS, (10, 1))).scores
    if not declaration.control and np.nanmax(scores, initial=-np.inf) > np.nanmin(scores, initial=np.inf):
        spread = float(np.nanmax(scores) - np.nanmin(scores))
        limit = 1e-6 * max(1.0, float(np.nanmax(np.abs(scores))))
        if spread > limit and float(scores[-1]) > float(scores[0]) + limit:
            msg = f"ten equal windows got scores from {scores[0]:.4g} up to {scores[-1]:.4g}; expected no rise"
            raise _Failed(msg)
    return ""


def undefined_values_do_not_silence_it(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    rng = _rng()
    with _trained(open_session, _WARM_UP) as session:
        rows = _normal(rng, 30)
        rows[::3, 4], rows[1::3] = np.nan, np.nan
        session.score("cart", NAMES, rows)
        scores = session.score("cart", NAMES, _normal(rng, 10)).scores
    if np.isnan(scores).any():
        msg = "scores are NaN after windows with NaN; expected numbers again once the values are back"
        raise _Failed(msg)
    return ""


def features_may_vanish_and_others_come(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    rng = _rng()
    with _trained(open_session, _WARM_UP) as session:
        rows = _normal(rng, 10)
        session.score("cart", NAMES[:7], rows[:, :7])
        session.score("cart", (*NAMES, "log/template/never seen before"), np.c_[rows, np.full(10, 1e6)])
        session.score("cart", (), np.empty((3, 0)))
        found = session.score("cart", NAMES, _normal(rng, 10))
    if np.isnan(found.scores).any():
        msg = "scores are NaN after features vanished and came; expected numbers again once they are back"
        raise _Failed(msg)
    return f"{found.counts.missing} values missing, {found.counts.new} new"


def the_same_seed_gives_the_same_scores(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    found = []
    for size in (7, 60):
        with _trained(open_session, 300) as session:
            rng = _rng()
            parts = []
            for begin in range(0, 60, size):
                # Others in between must not matter.
                session.score(f"other {begin % 2}", NAMES, _normal(_rng(), 3))
                parts.append(session.score("cart", NAMES, _normal(rng, min(size, 60 - begin))).scores)
            found.append(np.concatenate(parts))
    if found[0].tobytes() != found[1].tobytes():
        first = int(np.flatnonzero(found[0] != found[1])[0])
        msg = (
            f"window {first} got {found[0][first]!r} and then {found[1][first]!r} with the same seed; "
            "draw all random numbers from `seed` or `random_state`"
        )
        raise _Failed(msg)
    return ""


def what_it_learned_can_be_put_away(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    rng = _rng()
    with _trained(open_session, 300) as session:
        try:
            learned = session.snapshot()
        except AlgorithmRefused as error:
            return f"it can't, so after a restart it learns again: {error}"
        rows = _normal(rng, 20)
        expected = session.score("cart", NAMES, rows).scores
    with _opened(open_session) as session:
        session.restore(learned)
        scores = session.score("cart", NAMES, rows).scores
    if scores.tobytes() != expected.tobytes():
        msg = "scores after a restart differ from those without; expected `restore` to go on from `snapshot`"
        raise _Failed(msg)
    return f"{len(learned)} bytes"


def a_window_is_scored_in_time(open_session: OpenSession, declaration: Declaration) -> str:
    latencies_s = []
    with _trained(open_session, _WARM_UP) as session:
        for row in _normal(_rng(), _LATENCY_ROWS):
            began_s = time.perf_counter()
            session.score("cart", NAMES, row[np.newaxis])
            latencies_s.append(time.perf_counter() - began_s)
    p99_s = float(np.quantile(latencies_s, 0.99))
    if p99_s > declaration.deadline_s / 2:
        msg = (
            f"a window takes up to {p99_s * 1e3:.0f} ms (p99), and {declaration.deadline_s:g} s is the deadline; "
            "expected at most half of it: make it faster, or raise `deadline`"
        )
        raise _Failed(msg)
    return f"p50 {float(np.median(latencies_s)) * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms"


def its_memory_does_not_grow_with_the_stream(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    rng = _rng()
    with _trained(open_session, _GROWTH_WINDOWS) as session:
        try:
            before = len(session.snapshot())
            session.learn("cart", NAMES, _normal(rng, _GROWTH_WINDOWS))
            after = len(session.snapshot())
        except AlgorithmRefused:
            return "not known: what it learned can't be put away"
    growth = (after - before) / _GROWTH_WINDOWS
    if growth > _MAX_GROWTH_BYTES_PER_WINDOW:
        msg = (
            f"what it learned grows by {growth:.0f} bytes a window after {_GROWTH_WINDOWS}; "
            f"expected at most {_MAX_GROWTH_BYTES_PER_WINDOW}: forget what is old"
        )
        raise _Failed(msg)
    return f"{growth:.0f} bytes a window"


def it_ranks_services_of_the_case(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    with _opened(open_session) as session:
        ranking = session.rank(case_of(_BROKEN))
    if not ranking.services:
        msg = "it ranked nothing; expected at least one service or column of the case"
        raise _Failed(msg)
    return ", ".join(ranking.services)


def the_broken_service_is_ranked_in_the_upper_half(
    open_session: OpenSession, declaration: Declaration
) -> str:
    if declaration.control:
        return "a control need not"
    with _opened(open_session) as session:
        services = session.rank(case_of(_BROKEN)).services
    if _BROKEN not in services[: len(_SERVICES) // 2]:
        msg = f"the only service that changed came as {services}; expected it first, or second of {len(_SERVICES)}"
        raise _Failed(msg)
    return ""


def the_same_case_gives_the_same_ranks(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    found = []
    for _ in range(2):
        with _opened(open_session) as session:
            found += [session.rank(case_of(_BROKEN)).causes for _ in range(2)]
    if len(set(found)) > 1:
        msg = f"the same case was ranked {found[0][:5]} and {[each[:5] for each in found if each != found[0]][0]}"
        raise _Failed(msg)
    return ""


def a_case_may_lack_what_it_likes(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    case = case_of(_BROKEN)
    bare = {name: ((), np.empty((len(case.start_us), 0))) for name in ("cart",)}
    silent = {"payment": (NAMES, np.full((len(case.start_us), len(NAMES)), np.nan))}
    with _opened(open_session) as session:
        features = {**case.features, **bare, **silent}
        session.rank(Case(alarm_us=case.alarm_us, start_us=case.start_us, features=features))
    return ""


def it_tells_kinds_apart_that_differ(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    with _opened(open_session) as session:
        session.train(_training_cases())
        found = [_likeliest(session, kind, seed=100 + turn) for turn in range(3) for kind in _KINDS]
    right = sum(kind == expected for kind, expected in zip(found, list(_KINDS) * 3, strict=True))
    if right <= len(found) / 2:
        msg = f"{right} of {len(found)} cases of two kinds that differ were told right; expected more than half"
        raise _Failed(msg)
    return f"{right} of {len(found)}"


def taught_the_same_it_says_the_same(open_session: OpenSession, declaration: Declaration) -> str:
    del declaration
    found = []
    for _ in range(2):
        with _opened(open_session) as session:
            session.train(_training_cases())
            found.append(session.classify(case_of(_BROKEN, seed=100), _BROKEN))
    if found[0] != found[1]:
        msg = f"the same case got {found[0]} and {found[1]}; draw all random numbers from `random_state`"
        raise _Failed(msg)
    return ""


CHECKS: dict[str, tuple[Check, ...]] = {
    "detector": (
        an_odd_window_outscores_the_median_of_normal_ones,
        scores_are_numbers_once_it_is_ready,
        windows_that_never_change_are_no_error,
        undefined_values_do_not_silence_it,
        features_may_vanish_and_others_come,
        the_same_seed_gives_the_same_scores,
        what_it_learned_can_be_put_away,
        a_window_is_scored_in_time,
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

_KINDS = ("slow", "loud")
_CHANGED = {"slow": (7, 8, 9), "loud": (0, 1)}


def case_of(service: str, kind: str = "", seed: int = 0) -> Case:
    """A made-up case in which one service changed, in all its features or those of a kind, and its callers slowed."""
    rng = np.random.default_rng(seed)
    windows, since = 60, 54
    start_us = np.arange(windows, dtype=np.int64) * _WINDOW_US
    features = {name: (NAMES, _normal(rng, windows)) for name in _SERVICES}
    changed = list(_CHANGED.get(kind, range(len(NAMES))))
    features[service][1][since:, changed] += _ODD_SIGMAS * _SIGMAS[changed]
    return Case(alarm_us=int(start_us[since]), start_us=start_us, features=features, graph=_GRAPH)


def _training_cases() -> Sequence[tuple[Case, str, str]]:
    return [(case_of(_BROKEN, kind, seed), _BROKEN, kind) for seed in range(1, 9) for kind in _KINDS]


def _likeliest(session: Session, kind: str, seed: int) -> str:
    found = session.classify(case_of(_BROKEN, kind, seed), _BROKEN)
    return max(found, key=lambda name: found[name])


@contextmanager
def _opened(open_session: OpenSession) -> Iterator[Session]:
    with open_session() as session:
        session.open()
        yield session


@contextmanager
def _trained(open_session: OpenSession, windows: int) -> Iterator[Session]:
    with _opened(open_session) as session:
        session.learn("cart", NAMES, _normal(np.random.default_rng(1), windows))
        yield session


def _rng() -> np.random.Generator:
    return np.random.default_rng(11)


def _normal(rng: np.random.Generator, windows: int) -> NDArray[np.float64]:
    """Windows as they are without a fault, shape (windows, features)."""
    return np.abs(_LEVELS + _SIGMAS * rng.normal(size=(windows, len(NAMES))))
