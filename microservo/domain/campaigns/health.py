"""Whether the target is as its users need it: what is seen of it against the bounds of a campaign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from microservo.domain.campaigns.definition import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What users see of the target, by the newest window of their calls; None where nothing is known.

    Attributes:
        error_share: share of their requests that failed.
        p99_ms: how long 99 of 100 took at the most.
        requests_per_s: how many they made.
        down: instances that are down now.
    """

    error_share: float | None = None
    p99_ms: float | None = None
    requests_per_s: float | None = None
    down: tuple[str, ...] = ()


class Watch:
    """For how long the target has been within its bounds, or out of them.

    Args:
        bounds: of a campaign.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._problem = ""
        self._since_s: float | None = None

    def observe(self, health: Health, at_s: float) -> str:
        """Takes note of how the target is, and says what is wrong with it; empty where nothing is."""
        problem = "; ".join(dict.fromkeys(problems(self._bounds, health)))
        if self._since_s is None or bool(problem) != bool(self._problem):
            self._since_s = at_s
        self._problem = problem
        return problem

    def is_within(self, at_s: float) -> bool:
        """Whether it has been within its bounds for long enough."""
        return not self._problem and self._has_lasted(at_s)

    def is_out(self, at_s: float) -> bool:
        """Whether it has been out of them for too long."""
        return bool(self._problem) and self._has_lasted(at_s)

    def _has_lasted(self, at_s: float) -> bool:
        return self._since_s is not None and at_s - self._since_s >= self._bounds.for_s


def problems(bounds: Bounds, health: Health) -> Iterator[str]:
    """Each bound that the target does not keep to; what is not known keeps to none."""
    if bounds.error_share is not None:
        if health.error_share is None:
            yield "no request of a user is known"
        elif health.error_share > bounds.error_share:
            yield f"{health.error_share:.0%} of the requests fail, {bounds.error_share:.0%} may"
    if bounds.p99_ms is not None:
        if health.p99_ms is None:
            yield "no request of a user is known"
        elif health.p99_ms > bounds.p99_ms:
            yield f"99 of 100 requests take up to {health.p99_ms:.0f} ms, {bounds.p99_ms:g} ms may be"
    if bounds.requests_per_s is not None and (health.requests_per_s or 0.0) < bounds.requests_per_s:
        yield f"{health.requests_per_s or 0.0:.1f} requests/s, at least {bounds.requests_per_s:g} are to be"
    if bounds.are_instances_up and health.down:
        yield f"down: {', '.join(health.down)}"
