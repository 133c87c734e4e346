"""One request that is being served."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.trace import Span

from microservo.domain.topology import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that is being served.

    Args:
        endpoint: that it is for.
        id: decides what befalls it, and goes on with the calls that are made for it.
        key: what it is about.
        span: of its serving.
        deadline_us: when its caller stops waiting, epoch microseconds UTC; None where that is not known.
    """

    endpoint: Endpoint
    id: str
    key: str
    span: Span
    deadline_us: int | None

    def is_expired(self, now_us: int) -> bool:
        """Whether nobody waits for its answer any more."""
        return self.deadline_us is not None and now_us >= self.deadline_us
