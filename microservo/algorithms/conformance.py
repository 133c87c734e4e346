"""What every algorithm keeps to, tried on a process that runs it: each check with its result and reason.

The same checks run over a plain process (an author's tests) and over the fenced one (at deploy): they take
what opens a session. What is drawn comes from a seed; only what is measured differs between runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.session import Case, Opened, Session
from microservo.errors import AlgorithmFailed, AlgorithmRefused

Float64 = NDArray[np.float64]
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
_SHORT_WARM_UP = 300
_LEARNED_AT_ONCE = 20
_LEARNING_S = 30.0
_STILL_RATIO = 1e-6
_PROBES = 50
_LATENCY_ROWS = 100
_SLOW_ROWS = 2
"""So many of them may be: the machine has other things to do, too."""
_GROWTH_WINDOWS = 2000
_MAX_GROWTH_BYTES_PER_WINDOW = 1024
_SERVICES = ("cart", "checkout", "frontend", "payment")
_GRAPH = (("frontend", "cart"), ("frontend", "checkout"), ("checkout", "payment"))
_BROKEN = "payment"
_WINDOW_US = 5_000_000


class Processes:
    """The processes that checks ask: one for most of them, since to start one costs more than to ask it.

    Args:
        open_session: starts one.
        declaration: of the algorithm.
    """

    def __init__(self, open_session: OpenSession, declaration: Declaration) -> None:
        self.declaration = declaration
        self._open_session = open_session
        self._stack = ExitStack()
        self._first: Session | None = None
        # An algorithm may look at features that others have not.
        asked = tuple(_example_of(pattern) for pattern in declaration.only)
        self.names = (*NAMES, *(name for name in asked if name not in NAMES))
        added = len(self.names) - len(NAMES)
        self.levels, self.sigmas = np.r_[_LEVELS, np.full(added, 10.0)], np.r_[_SIGMAS, np.ones(added)]
        self.opened: Opened | None = None

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def first(self) -> Session:
        """The one that most are tried on; another one after `drop`."""
        if self._first is None:
            session = self._stack.enter_context(self._open_session())
            self.opened = session.open()
            self._first = session
        return self._first

    def second(self) -> Session:
        """Another one."""
        session = self._stack.enter_context(self._open_session())
        session.open()
        return session

    def trained(self, service: str, windows: int = _WARM_UP, seed: int = 1) -> Session:
        """The first one, which has learned what is normal of a service that no other check has."""
        session, rows = self.first(), self.normal(np.random.default_rng(seed), windows)
        began_s = time.monotonic()
        for begin in range(0, windows, _LEARNED_AT_ONCE):
            if time.monotonic() - began_s > _LEARNING_S:
                msg = f"it learned {begin} windows in {_LEARNING_S:g} s; expected {windows}: make it faster"
                raise _Failed(msg)
            session.learn(service, self.names, rows[begin : begin + _LEARNED_AT_ONCE])
        return session

    def normal(self, rng: np.random.Generator, windows: int) -> Float64:
        """Windows as they are without a fault, shape (windows, features)."""
        return _drawn(rng, self.levels, self.sigmas, windows)

    def drop(self) -> None:
        """Ends all of them."""
        self._first = None
        self._stack.close()


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


Check = Callable[[Processes], str]


def run_checks(open_session: OpenSession, declaration: Declaration) -> tuple[CheckResult, ...]:
    """Runs all checks of a task. Where it can't be opened, or is too slow, that is the last one.

    Args:
        open_session: gives a process with the algorithm, each time another one.
        declaration: of the algorithm.
    """
    with Processes(open_session, declaration) as processes:
        results: list[CheckResult] = []
        for check in (it_can_be_opened, *CHECKS[declaration.task]):
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
    except _Failed as error:
        reason = str(error)
    except AlgorithmFailed as error:
        reason = str(error)
        # What it was asked may still be on its way.
        processes.drop()
    name = check.__name__.replace("_", " ")
    return CheckResult(name=name, ok=ok, reason=reason, seconds=time.monotonic() - began_s)


def it_can_be_opened(processes: Processes) -> str:
    processes.first()
    opened = processes.opened
    assert opened is not None
    return f"Python {opened.python}, called by `{opened.style}`" + (
        "" if opened.sign > 0 else ", sign turned"
    )


def an_odd_window_outscores_the_median_of_normal_ones(processes: Processes) -> str:
    if processes.declaration.control:
        return "a control need not"
    session = processes.trained("sign")
    median = float(
        np.median(session.score("sign", processes.names, processes.normal(_rng(), _PROBES)).scores)
    )
    odd = (processes.levels + _ODD_SIGMAS * processes.sigmas)[np.newaxis]
    score = float(session.score("sign", processes.names, odd).scores[0])
    if not score > median:
        msg = (
            f"a window {_ODD_SIGMAS:g} sigmas off got {score:.4g}, the median of normal ones {median:.4g}; "
            "higher must be more anomalous: turn the sign, or learn from what is normal"
        )
        raise _Failed(msg)
    return f"{score:.4g} against {median:.4g}"


def scores_are_numbers_once_it_is_ready(processes: Processes) -> str:
    session = processes.trained("ready")
    scores = session.score("ready", processes.names, processes.normal(_rng(), _PROBES)).scores
    if np.isnan(scores).any():
        count = int(np.isnan(scores).sum())
        msg = f"{count} of {_PROBES} scores are NaN after {_WARM_UP} windows; expected none"
        raise _Failed(msg)
    return ""


def windows_that_never_change_never_alarm(processes: Processes) -> str:
    session = processes.first()
    session.learn("still", processes.names, np.tile(processes.levels, (_WARM_UP, 1)))
    scores = session.score("still", processes.names, np.tile(processes.levels, (10, 1))).scores
    if processes.declaration.control:
        return "a control may"
    allowed = _STILL_RATIO * max(1.0, float(np.nanmax(np.abs(scores), initial=0.0)))
    if scores[-1] - scores[0] > allowed:
        msg = f"ten equal windows got scores from {scores[0]:.4g} up to {scores[-1]:.4g}; expected no rise"
        raise _Failed(msg)
    return ""


def undefined_values_do_not_silence_it(processes: Processes) -> str:
    session, rng = processes.trained("undefined"), _rng()
    rows = processes.normal(rng, 30)
    rows[::3, ::4], rows[1::3] = np.nan, np.nan
    session.score("undefined", processes.names, rows)
    scores = session.score("undefined", processes.names, processes.normal(rng, 10)).scores
    if np.isnan(scores).any():
        msg = "scores are NaN after windows with NaN; expected numbers again once the values are back"
        raise _Failed(msg)
    return ""


def features_may_vanish_and_others_come(processes: Processes) -> str:
    session, rng = processes.trained("features"), _rng()
    rows = processes.normal(rng, 10)
    session.score("features", processes.names[::2], rows[:, ::2])
    session.score(
        "features", (*processes.names, "log/template/never seen before"), np.c_[rows, np.full(10, 1e6)]
    )
    session.score("features", (), np.empty((3, 0)))
    found = session.score("features", processes.names, processes.normal(rng, 10))
    if np.isnan(found.scores).any():
        msg = "scores are NaN after features vanished and came; expected numbers again once they are back"
        raise _Failed(msg)
    return f"{found.counts.missing} values missing, {found.counts.new} new"


def the_same_seed_gives_the_same_scores(processes: Processes) -> str:
    found = []
    for session, size in ((processes.first(), 7), (processes.second(), 60)):
        rng, parts = _rng(), []
        session.learn("seed", processes.names, processes.normal(np.random.default_rng(1), _SHORT_WARM_UP))
        for begin in range(0, 60, size):
            # Other services in between must not matter, nor how many windows are sent at once.
            session.score(f"other {begin % 2}", processes.names, processes.normal(_rng(), 3))
            parts.append(
                session.score("seed", processes.names, processes.normal(rng, min(size, 60 - begin))).scores
            )
        found.append(np.concatenate(parts))
    one, other = found
    if one.tobytes() != other.tobytes():
        first = int(np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))[0])
        msg = (
            f"window {first} got {one[first]!r} and then {other[first]!r} with the same seed; "
            "draw all random numbers from `seed` or `random_state`"
        )
        raise _Failed(msg)
    return ""


def what_it_learned_can_be_put_away(processes: Processes) -> str:
    session, rows = processes.trained("restart", _SHORT_WARM_UP), processes.normal(_rng(), 20)
    try:
        learned = session.snapshot()
    except AlgorithmRefused as error:
        return f"it can't, so after a restart it learns again: {error}"
    expected = session.score("restart", processes.names, rows).scores
    restarted = processes.second()
    restarted.restore(learned)
    scores = restarted.score("restart", processes.names, rows).scores
    if scores.tobytes() != expected.tobytes():
        msg = "scores after a restart differ from those without; expected `restore` to go on from `snapshot`"
        raise _Failed(msg)
    return f"{len(learned)} bytes"


def a_window_is_scored_in_time(processes: Processes) -> str:
    session, deadline_s = processes.trained("latency"), processes.declaration.deadline_s
    latencies_s = []
    for row in processes.normal(_rng(), _LATENCY_ROWS):
        began_s = time.perf_counter()
        session.score("latency", processes.names, row[np.newaxis])
        latencies_s.append(time.perf_counter() - began_s)
        if sum(each > deadline_s / 2 for each in latencies_s) > _SLOW_ROWS:
            slow = ", ".join(f"{each * 1e3:.0f}" for each in sorted(latencies_s)[-_SLOW_ROWS - 1 :])
            msg = (
                f"windows took {slow} ms, and {deadline_s:g} s is the deadline; "
                "expected at most half of it: make it faster, or raise `deadline`"
            )
            raise _Failed(msg)
    p50_s, p99_s = np.quantile(latencies_s, (0.5, 0.99)).tolist()
    return f"p50 {p50_s * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms"


def its_memory_does_not_grow_with_the_stream(processes: Processes) -> str:
    session, sizes = processes.first(), []
    try:
        for seed in range(2):
            processes.trained("growth", _GROWTH_WINDOWS, seed)
            sizes.append(len(session.snapshot()))
    except AlgorithmRefused:
        return "not known: what it learned can't be put away"
    growth = (sizes[1] - sizes[0]) / _GROWTH_WINDOWS
    if growth > _MAX_GROWTH_BYTES_PER_WINDOW:
        msg = (
            f"what it learned grows by {growth:.0f} bytes a window after {_GROWTH_WINDOWS}; "
            f"expected at most {_MAX_GROWTH_BYTES_PER_WINDOW}: forget what is old"
        )
        raise _Failed(msg)
    return f"{growth:.0f} bytes a window"


def it_ranks_services_of_the_case(processes: Processes) -> str:
    ranking = processes.first().rank(case_of(_BROKEN))
    if not ranking.services:
        msg = "it ranked nothing; expected at least one service or column of the case"
        raise _Failed(msg)
    return ", ".join(ranking.services)


def the_broken_service_is_ranked_in_the_upper_half(processes: Processes) -> str:
    if processes.declaration.control:
        return "a control need not"
    services = processes.first().rank(case_of(_BROKEN)).services
    if _BROKEN not in services[: len(_SERVICES) // 2]:
        msg = f"the only service that changed, {_BROKEN}, is not among the first two of {', '.join(services)}"
        raise _Failed(msg)
    return ""


def the_same_case_gives_the_same_ranks(processes: Processes) -> str:
    sessions = (processes.first(), processes.first(), processes.second())
    one, *others = [session.rank(case_of(_BROKEN)).causes for session in sessions]
    for other in others:
        if other != one:
            msg = f"the same case was ranked {one[:5]}, then {other[:5]}; draw all random numbers from `seed`"
            raise _Failed(msg)
    return ""


def a_case_may_lack_what_it_likes(processes: Processes) -> str:
    case = case_of(_BROKEN)
    bare = {"cart": ((), np.empty((len(case.start_us), 0)))}
    silent = {"payment": (NAMES, np.full((len(case.start_us), len(NAMES)), np.nan))}
    features = {**case.features, **bare, **silent}
    processes.first().rank(Case(alarm_us=case.alarm_us, start_us=case.start_us, features=features))
    return ""


def it_tells_kinds_apart_that_differ(processes: Processes) -> str:
    session = processes.first()
    session.train(_training_cases())
    expected = list(_CHANGED) * 3
    found = [_likeliest(session, kind, seed=100 + turn) for turn, kind in enumerate(expected)]
    right = sum(one == other for one, other in zip(found, expected, strict=True))
    if right <= len(found) / 2:
        msg = (
            f"{right} of {len(found)} cases of two kinds that differ were told right; expected more than half"
        )
        raise _Failed(msg)
    return f"{right} of {len(found)}"


def taught_the_same_it_says_the_same(processes: Processes) -> str:
    found = []
    for session in (processes.second(), processes.second()):
        session.train(_training_cases())
        found.append(session.classify(case_of(_BROKEN, "slow", seed=100), _BROKEN))
    if found[0] != found[1]:
        msg = f"the same case got {found[0]} and {found[1]}; draw all random numbers from `random_state`"
        raise _Failed(msg)
    return ""


CHECKS: dict[str, tuple[Check, ...]] = {
    "detector": (
        a_window_is_scored_in_time,
        an_odd_window_outscores_the_median_of_normal_ones,
        scores_are_numbers_once_it_is_ready,
        windows_that_never_change_never_alarm,
        undefined_values_do_not_silence_it,
        features_may_vanish_and_others_come,
        the_same_seed_gives_the_same_scores,
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

_CHANGED = {"slow": (7, 8, 9), "loud": (0, 1)}


def case_of(service: str, kind: str = "", seed: int = 0) -> Case:
    """A made-up case in which one service changed, in all its features or those of a kind."""
    rng = np.random.default_rng(seed)
    windows, since = 60, 54
    start_us = np.arange(windows, dtype=np.int64) * _WINDOW_US
    features = {name: (NAMES, _normal(rng, windows)) for name in _SERVICES}
    changed = list(_CHANGED.get(kind, range(len(NAMES))))
    features[service][1][since:, changed] += _ODD_SIGMAS * _SIGMAS[changed]
    return Case(alarm_us=int(start_us[since]), start_us=start_us, features=features, graph=_GRAPH)


def _training_cases() -> Sequence[tuple[Case, str, str]]:
    return [(case_of(_BROKEN, kind, seed), _BROKEN, kind) for seed in range(1, 9) for kind in _CHANGED]


def _example_of(pattern: str) -> str:
    """A name that a pattern matches, as far as it has stars only."""
    return pattern.replace("[*]", "\0").replace("*", "any").replace("\0", "*")


def _likeliest(session: Session, kind: str, seed: int) -> str:
    found = session.classify(case_of(_BROKEN, kind, seed), _BROKEN)
    return max(found, key=lambda name: found[name])


def _rng() -> np.random.Generator:
    return np.random.default_rng(11)


def _normal(rng: np.random.Generator, windows: int) -> Float64:
    """Windows of `NAMES`, shape (windows, features)."""
    return _drawn(rng, _LEVELS, _SIGMAS, windows)


def _drawn(rng: np.random.Generator, levels: Float64, sigmas: Float64, windows: int) -> Float64:
    drawn: Float64 = np.abs(levels + sigmas * rng.normal(size=(windows, len(levels))))
    return drawn
