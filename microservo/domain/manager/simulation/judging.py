"""Placement policies side by side after the same days, with the controls; nobody wins by doing nothing.

What is scored is what users notice. How much was moved and what it costs stand beside, as nobody moves less
than `nothing`, and are no reason for a place: only who is better than every control in all headlines has one.
A single day can be won by chance: at seed 4 `random` happens to spread containers over the world early on, at
a cost, and loses fewer minutes than the rules. So there are three days at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from microservo.domain.manager import actions as act
from microservo.domain.manager.entities import Container
from microservo.domain.manager.policies import CONTROLS, policy_named
from microservo.domain.manager.simulation.day import CONTAINER_CORES, HOURS, STEP_S, Day, lived
from microservo.domain.manager.simulation.routing import TIMEOUT_MS, latencies_ms
from microservo.domain.manager.simulation.world import World
from microservo.domain.telemetry import Float64
from microservo.errors import InvalidInput

SLO_MS: Final = 200.0
"""A request that takes longer is too slow."""
SLO_SHARE: Final = 0.05
"""A minute of a service is lost where more of its requests are too slow or not answered."""
LEAST_DAYS: Final = 3
_MOST_DAYS: Final = 100
HEADLINES: Final = ("latency_p99_ms", "slo_minutes_lost")
"""In which a policy has to be better than each control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyScore:
    """What came of all days.

    Attributes:
        policy: its name.
        latency_p50_ms: of all requests, milliseconds; those that nobody answers take `TIMEOUT_MS`.
        latency_p99_ms: likewise.
        slo_minutes_lost: minutes of services in which more than 5 % of the requests took longer than
            `SLO_MS` or were not answered; of `slo_minutes`.
        slo_minutes: minutes of all days, times services.
        lost_percent: of all requests, those that nobody answered.
        moves_per_h: containers that were moved.
        changes_per_h: containers that were launched or stopped, those of moves too.
        cost_core_h: processors kept for containers, times hours.
    """

    policy: str
    latency_p50_ms: float
    latency_p99_ms: float
    slo_minutes_lost: int
    slo_minutes: int
    lost_percent: float
    moves_per_h: float
    changes_per_h: float
    cost_core_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy on the board.

    Attributes:
        place: 1 for the best; None for controls, and for who is not better than each of them.
        is_control: it is there to be beaten.
        score: what came of its days.
    """

    place: int | None
    is_control: bool
    score: PolicyScore


def compare_policies(names: Iterable[str], *, seed: int = 0, days: int = LEAST_DAYS) -> tuple[PolicyRow, ...]:
    """Policies and the controls after the same days: those with a place first, then by minutes lost.

    Args:
        names: of policies; controls stand there in any case.
        seed: of the first day; each one after has the next.
        days: how many, 3 to 100.

    Raises:
        InvalidInput: there is no such policy, or the days are too few or too many.
    """
    if not LEAST_DAYS <= days <= _MOST_DAYS:
        msg = f"{days} days can't be compared, as chance may win few; give {LEAST_DAYS} to {_MOST_DAYS}"
        raise InvalidInput(msg)
    found = dict.fromkeys((*names, *CONTROLS))
    for name in found:
        policy_named(name, seed)
    lived_through = [Day(seed=seed + number) for number in range(days)]
    return ranked([score_policy(name, lived_through) for name in found])


def ranked(scores: Sequence[PolicyScore]) -> tuple[PolicyRow, ...]:
    """The rows of a board from scores, in the order in which they stand there."""
    controls = [score for score in scores if score.policy in CONTROLS]
    others = [score for score in scores if score.policy not in CONTROLS]
    placed = sorted((each for each in others if _beats(each, controls)), key=_order)
    rest = sorted((each for each in scores if each not in placed), key=_order)
    return (
        *(PolicyRow(place=place, is_control=False, score=each) for place, each in enumerate(placed, start=1)),
        *(PolicyRow(place=None, is_control=each in controls, score=each) for each in rest),
    )


def _beats(score: PolicyScore, controls: Iterable[PolicyScore]) -> bool:
    return all(
        getattr(score, headline) < getattr(control, headline)
        for control in controls
        for headline in HEADLINES
    )


def _order(score: PolicyScore) -> tuple[float, float, str]:
    return score.slo_minutes_lost, score.latency_p99_ms, score.policy


def score_policy(name: str, days: Sequence[Day]) -> PolicyScore:
    """What comes of days, one or more, under a policy.

    Raises:
        InvalidInput: there is no such policy.
    """
    tally = _Tally()
    for day in days:
        for world in lived(day, name):
            tally.add(world)
        tally.end_day(world)
    return tally.score(name, HOURS * len(days))


class _Tally:
    """Adds up minute by minute."""

    def __init__(self) -> None:
        self._latencies: list[Float64] = []
        self._weights: list[Float64] = []
        self._lost_per_s = 0.0
        self._minutes = 0
        self._minutes_lost = 0
        self._container_minutes = 0
        self._moves = 0
        self._changes = 0

    def add(self, world: World) -> None:
        """Takes a minute."""
        self._container_minutes += len(world.running)
        by_service: dict[str, list[Container]] = {}
        for each in world.running.values():
            by_service.setdefault(each.service, []).append(each)
        for service in world.demand.origins:
            self._add_service(world, service, by_service)

    def _add_service(self, world: World, service: str, by_service: Mapping[str, Sequence[Container]]) -> None:
        containers = by_service.get(service, ())
        total, lost = world.demand.rate(service), world.demand.rate(service)
        slow = 0.0
        if containers:
            flows = world.flows(containers)
            found = latencies_ms(flows)
            self._latencies.append(found)
            self._weights.append(flows.requests_per_s)
            lost = flows.lost_per_s
            slow = float(flows.requests_per_s[found > SLO_MS].sum())
        self._lost_per_s += lost
        self._minutes += 1
        self._minutes_lost += slow + lost > SLO_SHARE * total

    def end_day(self, world: World) -> None:
        """Takes what was done in a day."""
        reports = [each.event for each in world.actions(act.Report) if each.event.state == "decided"]
        self._moves += sum(event.action == "migrate" for event in reports)
        self._changes += len(world.actions(act.Launch)) + len(world.actions(act.Stop))

    def score(self, name: str, hours: int) -> PolicyScore:
        """What came of all minutes."""
        latencies = np.concatenate([*self._latencies, [TIMEOUT_MS]])
        weights = np.concatenate([*self._weights, [self._lost_per_s]])
        return PolicyScore(
            policy=name,
            latency_p50_ms=_quantile(latencies, weights, 0.5),
            latency_p99_ms=_quantile(latencies, weights, 0.99),
            slo_minutes_lost=self._minutes_lost,
            slo_minutes=self._minutes,
            lost_percent=100.0 * self._lost_per_s / float(weights.sum()),
            moves_per_h=self._moves / hours,
            changes_per_h=self._changes / hours,
            cost_core_h=self._container_minutes * CONTAINER_CORES * STEP_S / 3600,
        )


def _quantile(values: Float64, weights: Float64, share: float) -> float:
    """The least value that so large a share of all weights does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])
