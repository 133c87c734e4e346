"""The collector's names on the topics."""

from __future__ import annotations

from microservo.domain.telemetry import Signal
from schemas.catalogue import TELEMETRY_LOGS, TELEMETRY_METRICS, TELEMETRY_TRACES

WRITER = "telemetry-collector"
SOURCE = "/microservo/telemetry-collector"
TOPICS: dict[Signal, str] = {
    "metrics": TELEMETRY_METRICS,
    "logs": TELEMETRY_LOGS,
    "traces": TELEMETRY_TRACES,
}
"""Logical name by signal."""
