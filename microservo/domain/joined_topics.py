"""The topics that windows are joined from, by logical name."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.telemetry import Signal
from schemas import catalogue

SOURCES: tuple[str, ...] = (
    catalogue.TELEMETRY_METRICS,
    catalogue.TELEMETRY_LOGS,
    catalogue.TELEMETRY_TRACES,
    catalogue.SERVICE_FAULTS,
    catalogue.FAULT_EFFECTS,
    catalogue.SERVICE_ACTIONS,
)
"""Topics that are joined."""

TOLD_LATER = (catalogue.FAULT_EFFECTS, catalogue.SERVICE_ACTIONS)
"""Topics that revision 0 never waits for: what is measured of faults, and what managers do."""

WAITED_FOR = tuple(source for source in SOURCES if source not in TOLD_LATER)
"""Topics that revision 0 waits for."""

SOURCE_OF: Mapping[Signal, str] = {
    "metrics": catalogue.TELEMETRY_METRICS,
    "logs": catalogue.TELEMETRY_LOGS,
    "traces": catalogue.TELEMETRY_TRACES,
}
"""The topic of each signal."""
