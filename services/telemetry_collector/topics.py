"""The collector's names on the topics."""

from __future__ import annotations

WRITER = "telemetry-collector"
