"""Measures that several kinds share."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from microservo.domain.faults.base import Contract, Measure

# Callers give up after some hundred milliseconds, so no more than this can be asked of a quantile.
_MOST_MS = 150.0
_SHORT_TIMEOUT_MS = 200.0
# A delay below this can't be told from what a machine does by itself.
_LEAST_MS = 3.0
_LEAST_FAILED = 0.02
_LEAST_SLOW = 0.02
RARE_PER_S = 0.4
"""What happens less often, with a request every two seconds, is not looked for."""
USERS = 2.0
"""One in so many of the users' requests reaches a given service; some reach it on each."""
_MOST = 0.6
"""From this share on, the median of all moves."""
STARVED = 1.0
"""A service that is starved misses half of its requests, or more."""


def slow(delay_ms: float, ratio: float = 1.0, *, some_endpoints: bool = False) -> Measure:
    """Calls are slower: two fifths of those that should be, by half of what they should be.

    Args:
        delay_ms: what one slowed call takes longer.
        ratio: share of slowed calls.
        some_endpoints: only calls of one endpoint, or one caller, are slowed, an unknown share of all.
    """
    part = 0.05 if some_endpoints else 0.4
    return Measure(
        of="calls",
        statistic="slow",
        least=max(_LEAST_MS, min(delay_ms / 2, _MOST_MS)),
        share=max(part * ratio, _LEAST_SLOW),
    )


def failed(ratio: float, *, some_endpoints: bool = False) -> Measure:
    """Calls fail: two fifths of those that should; arguments as `slow`."""
    part = 0.05 if some_endpoints else 0.4
    return Measure(of="calls", statistic="failed", least=max(part * ratio, _LEAST_FAILED))


def fewer(ratio: float) -> Measure:
    """The service sees fewer requests: half of the share `ratio` that should stay away do."""
    return Measure(of="requests", statistic="count", direction="down", least=max(0.5 * ratio, 0.1))


def more(ratio: float) -> Measure:
    """The service sees more requests: half of those that should come beside the usual ones do."""
    return Measure(of="requests", statistic="count", least=max(0.5 * ratio, 0.1))


def made(measure: Measure) -> Measure:
    """The same of the calls that the service makes."""
    return replace(measure, of="calls")


def served(measure: Measure) -> Measure:
    """The same of the requests that the service serves."""
    return replace(measure, of="requests")


def unheard(ratio: float, signals: str) -> Contract:
    """The contract of a fault on telemetry after which less is heard of the requests that a service serves.

    The service serves all of them, so nothing shows at any other. Points and lines that are missing are no
    measure of anything: a service sends as many as it likes.

    Args:
        ratio: share of its requests that is not heard of.
        signals: what of its telemetry is concerned (`shared_parameters.SIGNALS`).
    """
    return Contract(root=(fewer(ratio),) if signals in ("all", "traces") else ())


def level(metric: str, least: float, direction: Literal["up", "down"] = "up") -> Measure:
    """A metric moves by `least`, in its own unit."""
    return Measure(of="metric", statistic="level", metric=metric, least=least, direction=direction)


def gone(metric: str, least: float, direction: Literal["up", "down"] = "up") -> Measure:
    """Likewise a metric that moves only where the service is away."""
    return replace(level(metric, least, direction), is_steady=True)


def answers(status: Literal["4xx", "5xx"]) -> Measure:
    """The service's network carries answers of this class of status."""
    return level(f"network.responses.{status}", RARE_PER_S)


def resets() -> Measure:
    """Connections of the service end by a reset."""
    return level("network.connections.reset", RARE_PER_S)


def requested(times: float) -> Measure:
    """The service's network carries more requests, `times` as many as those that are rare."""
    return level("network.requests.count", RARE_PER_S * (times - 1))


def reconnected() -> Measure:
    """Callers open connections to the service, for they have lost others."""
    return level("network.connections.accepted", RARE_PER_S)


def refused() -> Measure:
    """The service does not take connections."""
    return level("network.connections.refused", RARE_PER_S)


def at_root(*measures: Measure) -> Contract:
    """The contract of a fault that shows in what the root uses; its callers are only slower, if at all.

    Args:
        measures: of the root itself.
    """
    slower = slow(10.0, 0.4)
    return Contract(
        root=measures,
        callers=(slower,),
        users=(slower.diluted(USERS),),
        callees=(fewer(STARVED),),
    )


def towards_users(
    *measures: Measure,
    root: tuple[Measure, ...] = (),
    callees: tuple[Measure, ...] = (fewer(STARVED),),
) -> Contract:
    """The contract of a fault that shows in the calls to the root, from caller to caller up to the users.

    Services behind the root, or behind callers that give up, may get fewer requests.

    Args:
        measures: of calls.
        root: of the root itself.
        callees: of the services behind it.
    """
    return Contract(
        root=root,
        callers=measures,
        users=tuple(measure.diluted(USERS) for measure in measures),
        callees=callees,
    )


def cut_off(ratio: float) -> Contract:
    """The contract of a fault that lets nothing pass: callers fail, or wait for its end where they may.

    Args:
        ratio: share of the requests that need the other side.
    """
    measures = (failed(ratio), slow(2 * _MOST_MS, ratio))
    return towards_users(*measures, root=tuple(served(measure) for measure in measures))


def delayed(delay_ms: float, ratio: float = 1.0, *, some_endpoints: bool = False) -> Contract:
    """The contract of a fault that holds back what goes to or comes from the root; arguments as `slow`.

    Where callers don't wait that long, their calls fail instead.
    """
    slower = slow(delay_ms, ratio, some_endpoints=some_endpoints)
    quantile = "p50" if ratio >= _MOST and not some_endpoints else "p99"
    root = (level(f"network.request.duration.{quantile}", slower.least),)
    if delay_ms < _SHORT_TIMEOUT_MS:
        return towards_users(slower, root=root)
    return towards_users(slower, failed(ratio / 2, some_endpoints=some_endpoints), root=root)
