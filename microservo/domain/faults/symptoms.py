"""Expectations that several kinds share, seen from the callers of the target."""

from __future__ import annotations

from microservo.domain.faults.base import Expectation

# Callers give up after some hundred milliseconds, so no more than this can be asked of a quantile.
_MOST_MS = 150.0
_LEAST_ERROR_SHARE = 0.01
_SHORT_TIMEOUT_MS = 200.0


def slower_calls(delay_ms: float, *, ratio: float = 1.0, some_endpoints: bool = False) -> Expectation:
    """Calls to the target take longer: that quantile which surely lies among the slowed calls.

    Args:
        delay_ms: what one slowed call takes longer; half of it must show.
        ratio: share of slowed calls.
        some_endpoints: only calls of one endpoint, an unknown share of all, are slowed.
    """
    return Expectation(
        where="callers",
        feature=f"call/{{target}}/{_quantile(0.0 if some_endpoints else ratio)}_ms",
        change=min(delay_ms / 2, _MOST_MS),
    )


def timed_out_calls(delay_ms: float, ratio: float) -> tuple[Expectation, ...]:
    """Calls to the target that are slowed beyond what callers wait for fail; none, if they aren't.

    Args:
        delay_ms: what one slowed call takes longer.
        ratio: share of slowed calls.
    """
    return (failing_calls(ratio / 2),) if delay_ms >= _SHORT_TIMEOUT_MS else ()


def failing_calls(ratio: float, *, some_endpoints: bool = False) -> Expectation:
    """Calls to the target fail: at least two fifths of the share `ratio` that should.

    Args:
        ratio: share of calls that fail.
        some_endpoints: only calls of one endpoint fail, so a twentieth of the share will do.
    """
    part = 0.05 if some_endpoints else 0.4
    return Expectation(
        where="callers",
        feature="call/{target}/error_share",
        change=max(part * ratio, _LEAST_ERROR_SHARE),
    )


def fewer_requests(ratio: float) -> Expectation:
    """The target itself sees fewer requests: at least half of the share `ratio` that stay away."""
    return Expectation(
        where="target", feature="request/*/count", direction="down", change=10.0, share=0.5 * ratio
    )


def _quantile(ratio: float) -> str:
    if ratio >= 0.6:
        return "p50"
    return "p90" if ratio >= 0.15 else "p99"
