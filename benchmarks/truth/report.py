"""The claims of the benchmark, from what the journals hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.truth.claims import Claim, quantile_claim, share_claim
from benchmarks.truth.leaks import MOST_OF_A_CONSTANT, MOST_OF_A_LEAK
from benchmarks.truth.shares import Share
from benchmarks.truth.trials import LENGTHS_S, S, disjoint
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.faults.catalogue import KINDS

COMMAND = "python -m benchmarks.truth"
_MOST_FALSE_PERCENT = 1.0
_LEAST_CONFIRMED_PERCENT = 95.0
_APART_MS = {"median": (0.5, 100.0), "95th percentile": (0.95, 500.0)}
LEAST_CALLS = EffectPolicy().least_deviating
"""With fewer calls that a fault changed, the observer says that it can't tell an effect from chance."""
_FAILING = frozenset({"app-exception", "connection-reset", "http-abort"})
"""Kinds whose mechanism counts requests that it made fail: an effect, however small their share."""
_FALSE_CONFIRMED, _FALSE_AFFECTED = "false confirmed", "false affected"
_CONFIRMED, _CONFIRMED_SHORT = "confirmed", "confirmed within 2 s"
_SEEN, _OVERLAPPED, _LEAK = "effect seen", "weak and idle faults under another one", "leaks"
SENTENCES: Mapping[str, str] = {
    _FALSE_CONFIRMED: "Asked for: of at least 500 placebo trials of each contract at each strength, 2 to 30 "
    "s long, at two load rates, at most 1 % are called confirmed. Kinds that declare the same contract are "
    "one to the observer, and are tried as one. Trials of different contracts lie on the same telemetry, so "
    "the intervals of all contracts together are narrower than they should be.",
    _FALSE_AFFECTED: "Asked for: of the same trials, at most 1 % are said to show on any service at all.",
    _CONFIRMED: "Asked for: of at least 20 real faults of each kind with its default severity, at least 95 % "
    f"are confirmed, where they could show: of those that need requests, where {LEAST_CALLS} came or more, "
    "and the mechanism changed as many if it counts them. With fewer the observer has too little evidence, "
    "as it says itself.",
    _CONFIRMED_SHORT: "Asked for: the same of those that lasted 2 s.",
    _SEEN: "Asked for: the effect is seen within 100 ms (median; 95th percentile 500 ms) of the first record "
    "that deviates from the same record of a twin, a run under the same load without faults.",
    _OVERLAPPED: "Asked for: faults too weak to matter (1 ms, 1 % of requests), or that no request meets, "
    "are confirmed no more often than placebos while a strong fault on another service is in force. Those "
    f"that made {LEAST_CALLS} requests fail or more are left out: that is an effect of their own.",
    _LEAK: "Asked for: no score that does not look at values tells anomalous windows from normal ones; a "
    f"constant score for each service has an area under the curve of at most {MOST_OF_A_CONSTANT}, all else "
    f"of at most {MOST_OF_A_LEAK}.",
}
"""What was asked for, in words."""
_Line = Mapping[str, Any]


def journal_facts(parts: Mapping[str, Sequence[_Line]]) -> Iterator[str]:
    """When each part was measured, and with which seeds."""
    for part, lines in parts.items():
        if lines:
            times = sorted({line["at"] for line in lines})
            seeds = ", ".join(str(seed) for seed in sorted({line["seed"] for line in lines}))
            yield f"{part}: {times[0]} to {times[-1]} UTC, seed {seeds}"


def placebo_claims(lines: Sequence[_Line]) -> Iterator[Claim]:
    """Shares of virtual faults that were called confirmed, and that were found to show anywhere."""
    tests: tuple[tuple[str, Callable[[_Line], bool]], ...] = (
        (_FALSE_CONFIRMED, lambda line: line["verdict"] == "confirmed"),
        (_FALSE_AFFECTED, lambda line: bool(line["affected"])),
    )
    for asked, is_false in tests:
        for contract, group in _grouped(lines, lambda line: line["trial"]["contract"]):
            yield _false(asked, contract, group, is_false)
        for length_s in LENGTHS_S if lines else ():
            some = [line for line in lines if line["trial"]["length_s"] == length_s]
            yield _false(asked, f"all contracts, {length_s} s", some, is_false)
        for rate, group in _grouped(lines, lambda line: line["journeys_per_s"]):
            yield _false(asked, f"all contracts, {rate:g} journeys/s", group, is_false)


def placebo_facts(lines: Sequence[_Line]) -> Iterator[str]:
    """How much telemetry the virtual faults lie on."""
    stretches = []
    for _, group in _grouped(lines, lambda line: line["trial"]["contract"]):
        recordings = _grouped(group, lambda line: line["recording"])
        counts = [disjoint(map(_stretch, each)) for _, each in recordings]
        stretches.append((sum(counts), len(group)))
    if stretches:
        fewest, trials = min(stretches)
        yield (
            f"placebo trials of a contract lie on stretches of time of which at least {fewest} of {trials} "
            "don't overlap; where two do, they are on different services"
        )


def injection_claims(lines: Sequence[_Line]) -> Iterator[Claim]:
    """Shares of real faults that were confirmed, and how far the effect as seen lies from the twin's."""
    alone = [line for line in lines if not line["overlapped"]]
    met = [line for line in alone if _could_show(line)]
    short = [line for line in met if line["length_s"] == 2]
    for asked, lines_of in ((_CONFIRMED, met), (_CONFIRMED_SHORT, short)):
        for kind, group in _grouped(lines_of, lambda line: line["kind"]):
            yield _confirmed(asked, kind, group, _LEAST_CONFIRMED_PERCENT, at_most=False)
        if lines_of:
            yield _confirmed(asked, "all kinds", lines_of, _LEAST_CONFIRMED_PERCENT, at_most=False)
    apart_ms = [
        abs(line["seen_us"] - line["first_us"]) / 1000
        for line in alone
        if line["seen_us"] is not None and line["first_us"] is not None
    ]
    for name, (share, bound_ms) in _APART_MS.items() if apart_ms else ():
        yield quantile_claim(_SEEN, f"time from the twin's record, {name}", apart_ms, share, bound_ms)
    overlapped = [line for line in lines if line["overlapped"] and not _is_real(line)]
    for kind, group in _grouped(overlapped, lambda line: f"{line['kind']} {line['strength']}"):
        yield _confirmed(_OVERLAPPED, kind, group, _MOST_FALSE_PERCENT, at_most=True)
    if overlapped:
        yield _confirmed(_OVERLAPPED, "all of them", overlapped, _MOST_FALSE_PERCENT, at_most=True)


def injection_facts(lines: Sequence[_Line]) -> Iterator[str]:
    """How many faults met no requests; of those with a twin, how many changed nothing or were not seen."""
    alone = [line for line in lines if not line["overlapped"]]
    if alone:
        idle = sum(not _could_show(line) for line in alone)
        yield (
            f"{idle} of {len(alone)} real faults met or changed fewer than {LEAST_CALLS} requests, "
            "and are not counted"
        )
    twinned = [line for line in lines if line["has_twin"]]
    changed = [line for line in twinned if line["first_us"] is not None]
    if twinned:
        seen = sum(line["seen_us"] is not None for line in changed)
        yield f"of {len(twinned)} faults with a twin, {len(changed)} changed a record, and {seen} were seen"


def leak_claims(areas: Mapping[str, float], windows: int, spread: float) -> Iterator[Claim]:
    """The areas under the curve of what must not tell windows apart; `spread` is that of chance."""
    for name, area in areas.items():
        yield Claim(
            asked=_LEAK,
            of=name,
            count=f"{windows} windows",
            value=area,
            low=max(0.0, area - 2 * spread),
            high=min(1.0, area + 2 * spread),
            unit="AUC",
            bound=MOST_OF_A_CONSTANT if name == "constant per service" else MOST_OF_A_LEAK,
            at_most=True,
        )


def leak_facts(lines: Sequence[_Line]) -> Iterator[str]:
    """How the truth of the windows is spread over the services."""
    for line in lines:
        said = ", ".join(f"{service} {count}" for service, count in line["anomalous"].items())
        yield f"anomalous windows of the campaign that is looked at for leaks: {said}"
        if line["hindsight"] is not None:
            yield (
                "the constant per service is learned on other parts of the run; the best one in hindsight, "
                f"which nobody could know, has an area of {line['hindsight']:.3f}"
            )


def _false(asked: str, of: str, lines: Sequence[_Line], is_false: Callable[[_Line], bool]) -> Claim:
    share = Share(count=sum(map(is_false, lines)), total=len(lines))
    return share_claim(asked, of, share, _MOST_FALSE_PERCENT, at_most=True)


def _confirmed(asked: str, of: str, lines: Sequence[_Line], percent: float, *, at_most: bool) -> Claim:
    share = Share(count=sum(line["verdict"] == "confirmed" for line in lines), total=len(lines))
    return share_claim(asked, of, share, percent, at_most=at_most)


def _could_show(line: _Line) -> bool:
    changed = line["calls"] if line["acted"] is None else line["acted"]
    return KINDS[line["kind"]].shows_idle or min(line["calls"], changed) >= LEAST_CALLS


def _is_real(line: _Line) -> bool:
    """Whether a weak fault did enough to be confirmed for what it did."""
    return line["kind"] in _FAILING and (line["acted"] or 0) >= LEAST_CALLS


def _stretch(line: _Line) -> tuple[int, int]:
    trial = line["trial"]
    return trial["applied_us"], trial["applied_us"] + trial["length_s"] * S


def _grouped(lines: Iterable[_Line], key: Callable[[_Line], Any]) -> list[tuple[Any, list[_Line]]]:
    groups: dict[Any, list[_Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return sorted(groups.items(), key=lambda each: each[0])
