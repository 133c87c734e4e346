"""What passes through the sidecar: the figures that any proxy keeps of the network of its instance."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

# Buckets of an exponential histogram of scale 3, as OpenTelemetry defines it: each ends 2^(1/8) later.
BUCKETS_PER_DOUBLING = 8
_SHORTEST_S = 1e-6


@dataclass(slots=True)
class Traffic:
    """Counted since the sidecar started, but for `active`: requests that are not answered.

    Attributes:
        resets: connections ended by RST, whoever sent it.
        refusals: connections that the instance did not accept.
        answers: by the class of their status, 2 to 5.
        durations: answers by the bucket of the time from a request's head to its answer's last byte, on the
            callers' side; bucket `i` ends at 2^(i/8) seconds.
    """

    connections: int = 0
    requests: int = 0
    active: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    resets: int = 0
    refusals: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    total_s: float = 0.0

    def begin(self) -> None:
        """A request has come."""
        self.requests += 1
        self.active += 1

    def answer(self, status: int, duration_s: float) -> None:
        """The end of its answer leaves."""
        self.active -= 1
        self.answers[status // 100] += 1
        self.durations[math.ceil(BUCKETS_PER_DOUBLING * math.log2(max(duration_s, _SHORTEST_S)))] += 1
        self.total_s += duration_s
