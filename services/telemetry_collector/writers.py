"""The stamped writers of a collector, and what its former process knew."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.broker import Broker
from microservo.domain.telemetry import Signal
from microservo.log.inventories import last_inventories
from microservo.log.publisher import source_of
from microservo.log.stamped import StampedWriter
from microservo.retry import retry
from microservo.sources.source import TOPICS
from schemas.catalogue import TELEMETRY_METRICS
from schemas.records import ServiceInventory
from services.telemetry_collector.settings import Settings

_INVENTORIES_S = 30.0


def stamped_writers(
    settings: Settings,
    broker: Broker,
    clock: Callable[[], int],
    *,
    promise: Callable[[], int],
    from_us: int,
) -> dict[Signal, StampedWriter]:
    """A writer for each signal; `promise` counts for metrics, among which inventories lie."""
    return {
        signal: StampedWriter(
            broker,
            settings.topic(name),
            writer=settings.writer,
            run_id=lambda: settings.run_id,
            clock=clock,
            promise=promise if name == TELEMETRY_METRICS else clock,
            source=source_of("telemetry_collector"),
            from_us=from_us,
        )
        for signal, name in TOPICS.items()
    }


def known_before(settings: Settings, broker: Broker, until_us: int) -> list[ServiceInventory]:
    """What this collector knew last, before it was started again.

    Args:
        settings: of the collector.
        broker: where the run is.
        until_us: when it wrote last; 0 for never.
    """
    if not until_us:
        return []
    return retry(
        lambda: last_inventories(
            broker,
            run_id=settings.run_id,
            until_us=until_us,
            topic_prefix=settings.topic_prefix,
            writer=settings.writer,
        ),
        timeout_s=_INVENTORIES_S,
    )
