"""`topics.toml` as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from schemas.files import topics_toml

Kind = Literal["command", "fact", "state"]
DEAD_LETTER_SUFFIX = "-dlq"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_COMPACTED = {
    "cleanup.policy": "compact",
    # Only closed segments are compacted, and only once a tenth is superseded: the smallest segments, closed
    # early, keep what a reader has to go through close to what is in force.
    "segment.bytes": str(MAX_MESSAGE_BYTES),
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    # Who reads a state from its beginning is done within seconds, and so has seen what was deleted meanwhile.
    "delete.retention.ms": "60000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of the contract, by its logical name."""

    name: str
    purpose: str
    kind: Kind
    key: str
    record: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    joined: bool = False
    dead_letters: bool = False

    def physical(self, prefix: str = "") -> str:
        """The name on the broker."""
        return prefix + self.name

    @property
    def config(self) -> Mapping[str, str]:
        """The broker's settings for this topic: facts are kept for ever, states are compacted."""
        keep = _COMPACTED if self.kind == "state" else {"retention.ms": "-1"}
        return {
            **keep,
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "message.timestamp.type": "CreateTime",
        }


@cache
def catalogue() -> dict[str, Topic]:
    """Every topic by its logical name, in the order of the file."""
    return {
        name: Topic(
            name=name,
            purpose=entry["purpose"],
            kind=entry["kind"],
            key=entry["key"],
            record=entry["record"],
            producers=tuple(entry["producers"]),
            consumers=tuple(entry["consumers"]),
            joined=entry.get("joined", False),
            dead_letters=entry.get("dead_letters", False),
        )
        for name, entry in topics_toml()["topics"].items()
    }


FAULT_REQUESTS = "fault-requests"
FAULT_EVENTS = "fault-events"
FAULTS = "faults"
SERVICE_FAULTS = "service-faults"
SERVICE_GRAPH = "service-graph"
TELEMETRY_METRICS = "telemetry-metrics"
TELEMETRY_LOGS = "telemetry-logs"
TELEMETRY_TRACES = "telemetry-traces"
FEATURE_WINDOWS = "feature-windows"
LABELLED_WINDOWS = "labelled-windows"
ANOMALY_SCORES = "anomaly-scores"
EXPERIMENTS = "experiments"
