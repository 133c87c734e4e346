"""What every detector keeps to. A check says what it saw, or raises `Failed`."""

from __future__ import annotations

import time

import numpy as np

from microservo.algorithms.conformance.processes import (
    ODD_SIGMAS,
    SHORT_WARM_UP,
    WARM_UP,
    Failed,
    Float64,
    Processes,
    rng_of,
)
from microservo.errors import AlgorithmRefused

_PROBES = 50
_SCORED_ROWS = 20
_STILL_RATIO = 0.01
"""Of its size that a score may rise while it still learns the same window."""
_LATENCY_ROWS = 100
_SLOW_ROWS = 2
"""So many of them may be: the machine has other things to do, too."""
_GROWTH_WINDOWS = 2000
_GROWTH_BYTES = 32
_GROWTH_RATIO = 0.1
"""Trees that are fitted anew are never of quite the same size."""


def an_odd_window_outscores_the_median_of_normal_ones(processes: Processes) -> str:
    if processes.declaration.control:
        return "a control need not"
    session = processes.trained("sign")
    median = float(
        np.median(session.score("usual", processes.names, processes.normal(rng_of(11), _PROBES)).scores)
    )
    odd = (processes.levels + ODD_SIGMAS * processes.sigmas)[np.newaxis]
    score = float(session.score("usual", processes.names, odd).scores[0])
    if not score > median:
        msg = (
            f"a window {ODD_SIGMAS:g} sigmas off got {score:.4g}, the median of normal ones {median:.4g}; "
            "higher must be more anomalous: turn it by `sign = -1`, or learn what is normal"
        )
        raise Failed(msg)
    return f"{score:.4g} against {median:.4g}"


def scores_are_numbers_once_it_is_ready(processes: Processes) -> str:
    session = processes.usual()
    scores = session.score("usual", processes.names, processes.normal(rng_of(11), _PROBES)).scores
    if np.isnan(scores).any():
        count = int(np.isnan(scores).sum())
        msg = f"{count} of {_PROBES} scores are NaN after {WARM_UP} windows; expected none"
        raise Failed(msg)
    return ""


def windows_that_never_change_never_alarm(processes: Processes) -> str:
    session = processes.usual()
    session.learn("still", processes.names, np.tile(processes.levels, (SHORT_WARM_UP, 1)))
    scores = session.score("still", processes.names, np.tile(processes.levels, (10, 1))).scores
    if processes.declaration.control:
        return "a control may"
    allowed = _STILL_RATIO * max(1.0, float(np.nanmax(np.abs(scores), initial=0.0)))
    if scores[-1] - scores[0] > allowed:
        msg = f"ten equal windows got scores from {scores[0]:.4g} up to {scores[-1]:.4g}; expected no rise"
        raise Failed(msg)
    return ""


def undefined_values_do_not_silence_it(processes: Processes) -> str:
    session, rng = processes.trained("undefined", SHORT_WARM_UP), rng_of(11)
    rows = processes.normal(rng, 30)
    rows[::3, ::4], rows[1::3] = np.nan, np.nan
    session.score("undefined", processes.names, rows)
    scores = session.score("undefined", processes.names, processes.normal(rng, 10)).scores
    if np.isnan(scores).any():
        msg = "scores are NaN after windows with NaN; expected numbers again once the values are back"
        raise Failed(msg)
    return ""


def features_may_vanish_and_others_come(processes: Processes) -> str:
    session, rng = processes.trained("features", SHORT_WARM_UP), rng_of(11)
    rows = processes.normal(rng, 10)
    session.score("features", processes.names[::2], rows[:, ::2])
    session.score(
        "features", (*processes.names, "log/template/never seen before"), np.c_[rows, np.full(10, 1e6)]
    )
    session.score("features", (), np.empty((3, 0)))
    found = session.score("features", processes.names, processes.normal(rng, 10))
    if np.isnan(found.scores).any():
        msg = "scores are NaN after features vanished and came; expected numbers again once they are back"
        raise Failed(msg)
    return f"{found.counts.missing} values missing, {found.counts.new} new"


def the_same_seed_gives_the_same_scores(processes: Processes) -> str:
    found = []
    for session, size in ((processes.first(), 7), (processes.second(), 60)):
        rng, parts = rng_of(11), []
        session.learn("seed", processes.names, processes.normal(rng_of(1), SHORT_WARM_UP))
        for begin in range(0, 60, size):
            # Other services in between must not matter, nor how many windows are sent at once.
            session.score(f"other {begin % 2}", processes.names, processes.normal(rng_of(11), 3))
            parts.append(
                session.score("seed", processes.names, processes.normal(rng, min(size, 60 - begin))).scores
            )
        found.append(np.concatenate(parts))
    one, other = found
    if one.tobytes() != other.tobytes():
        first = _first_other(one, other)
        msg = (
            f"window {first} got {one[first]!r} and then {other[first]!r} with the same seed; "
            "draw all random numbers from `seed` or `random_state`"
        )
        raise Failed(msg)
    return ""


def scoring_changes_nothing(processes: Processes) -> str:
    session, twin = processes.trained("scoring", SHORT_WARM_UP), processes.second()
    twin.learn("scoring", processes.names, processes.normal(rng_of(1), SHORT_WARM_UP))
    rows = processes.normal(rng_of(11), _SCORED_ROWS)
    rows[::2] += ODD_SIGMAS * processes.sigmas
    once, again = (session.score("scoring", processes.names, rows, learns=False).scores for _ in range(2))
    if once.tobytes() != again.tobytes():
        first = _first_other(once, again)
        msg = (
            f"the same window got {once[first]!r} and then {again[first]!r}, and was not learned from in "
            "between; learn in `learn_one` alone, `score_one` must change nothing"
        )
        raise Failed(msg)
    expected, scores = (each.score("scoring", processes.names, rows).scores for each in (twin, session))
    if scores.tobytes() != expected.tobytes():
        first = _first_other(expected, scores)
        msg = (
            f"window {first} got {expected[first]!r}, and {scores[first]!r} where others had been scored "
            "before, but not learned from; learn in `learn_one` alone, `score_one` must change nothing"
        )
        raise Failed(msg)
    return ""


def what_it_learned_can_be_put_away(processes: Processes) -> str:
    session, rows = processes.trained("restart", SHORT_WARM_UP), processes.normal(rng_of(11), 20)
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
        raise Failed(msg)
    return f"{len(learned)} bytes"


def a_window_is_scored_in_time(processes: Processes) -> str:
    session, deadline_s = processes.usual(), processes.declaration.deadline_s
    latencies_s = []
    for row in processes.normal(rng_of(11), _LATENCY_ROWS):
        began_s = time.perf_counter()
        session.score("usual", processes.names, row[np.newaxis])
        latencies_s.append(time.perf_counter() - began_s)
        if sum(each > deadline_s / 2 for each in latencies_s) > _SLOW_ROWS:
            slow = ", ".join(f"{each * 1e3:.0f}" for each in sorted(latencies_s)[-_SLOW_ROWS - 1 :])
            msg = (
                f"windows took {slow} ms, and {deadline_s:g} s is the deadline; "
                "expected at most half of it: make it faster, or raise `deadline`"
            )
            raise Failed(msg)
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
    before, after = sizes
    allowed = before + max(_GROWTH_BYTES * _GROWTH_WINDOWS, _GROWTH_RATIO * before)
    if after > allowed:
        msg = (
            f"what it learned are {before} bytes after {_GROWTH_WINDOWS} windows, and {after} after as many "
            "more; expected hardly more: forget what is old"
        )
        raise Failed(msg)
    return f"{before} bytes, then {after}"


def _first_other(one: Float64, other: Float64) -> int:
    """The first place where two arrays of scores differ; NaN is NaN."""
    return int(np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))[0])
