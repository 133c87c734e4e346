"""The telemetry of all services of one run that effects are measured on."""

from __future__ import annotations

from microservo.domain.effects.history import History
from microservo.domain.telemetry import Batch
from schemas.records import MetricBatch, SpanBatch


class Histories:
    """A history of each service; several observers may look at it, as long as it grows between their steps.

    Args:
        run_id: of the run.
        kept_us: how much telemetry is remembered.
    """

    def __init__(self, run_id: str, kept_us: int) -> None:
        self._run_id = run_id
        self._kept_us = kept_us
        self._services: dict[str, History] = {}

    def add(self, batch: Batch) -> None:
        """Remembers telemetry of the run, in any order; what comes again counts once."""
        if batch.run_id != self._run_id or not isinstance(batch, SpanBatch | MetricBatch):
            return
        history = self._services.get(batch.service)
        if history is None:
            history = self._services[batch.service] = History(self._kept_us)
        if isinstance(batch, SpanBatch):
            history.add_spans(batch)
        else:
            history.add_points(batch)

    def of(self, service: str) -> History | None:
        """The history of a service; None before it has sent anything."""
        return self._services.get(service)
