"""How far a deployment has come, published as it changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from microservo.algorithms.session import Counts
from microservo.log.publisher import Publisher
from schemas.records import AlgorithmDeployment, AlgorithmState

EACH_US = 1_000_000
_LATENCIES = 1000
_FLUSH_S = 10.0


class States:
    """Publishes the state of one deployment, at most once a second unless its phase changes.

    Args:
        publisher: writes states.
        deployment: what runs.
        run_id: in which run.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, publisher: Publisher, deployment: AlgorithmDeployment, run_id: str, clock: Callable[[], int]
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._latencies_us: deque[int] = deque(maxlen=_LATENCIES)
        self._state = AlgorithmState(
            deployment_id=f"{deployment.algorithm}@{deployment.version}",
            algorithm=deployment.algorithm,
            algorithm_version=deployment.version,
            run_id=run_id,
            phase="building",
            reason="",
            restarts=0,
            holds=(),
            environment_sha256="",
            thresholds={},
            windows=0,
            imputed=0,
            left_out=0,
            cpu_us=0,
            peak_memory_bytes=0,
            latency_p50_us=None,
            latency_p99_us=None,
            first_score_at_us=None,
            updated_at_us=0,
        )
        self._published = self._state

    @property
    def state(self) -> AlgorithmState:
        """As it is now."""
        return self._state

    def change(self, **changes: Any) -> None:
        """Changes some fields; a new phase or reason is published at once."""
        before = self._state
        self._state = replace(before, **changes)
        if (before.phase, before.reason) != (self._state.phase, self._state.reason):
            self.publish()

    def count(self, windows: int, counts: Mapping[str, Counts], latencies_us: Sequence[int]) -> None:
        """Adds windows that were scored; `counts` are those of each service since its first window."""
        self._latencies_us.extend(latencies_us)
        ranked = sorted(self._latencies_us)
        self._state = replace(
            self._state,
            windows=self._state.windows + windows,
            imputed=sum(each.undefined + each.missing for each in counts.values()),
            left_out=sum(each.new + each.constant for each in counts.values()),
            latency_p50_us=ranked[len(ranked) // 2] if ranked else None,
            latency_p99_us=ranked[len(ranked) * 99 // 100] if ranked else None,
            first_score_at_us=self._state.first_score_at_us or self._clock(),
        )

    def tick(self) -> None:
        """Publishes the state if it has changed and the last one is a second old."""
        now_us = self._clock()
        is_due = not 0 <= now_us - self._published.updated_at_us < EACH_US
        if is_due and replace(self._state, updated_at_us=self._published.updated_at_us) != self._published:
            self.publish()

    def publish(self) -> None:
        """Publishes the state now, durably.

        Raises:
            Retryable: the broker is away for now.
        """
        self._state = replace(self._state, updated_at_us=self._clock())
        self._publisher.publish(self._state)
        self._publisher.flush(_FLUSH_S)
        self._published = self._state
