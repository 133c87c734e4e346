"""What rules can be about: the fields that are measured of hosts and containers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from microservo.errors import InvalidInput

ANOMALY_SCORE: Final = "anomaly-score/"
"""Followed by the name of a deployed detector: its newest score of the service."""
ROOT_CAUSE_RANK: Final = "root-cause-rank/"
"""Followed by the name of a deployed ranker: the service's place in its newest ranking, 1 the likeliest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Something that is measured.

    Attributes:
        name: in conditions and simulated metrics.
        unit: of its values.
        query: in Prometheus, for hosts; empty where there is none.
    """

    name: str
    unit: str
    query: str = ""


_IDLE = 'irate(node_cpu_seconds_total{mode="idle"}[5m])'
_FREE = "avg_over_time(node_memory_MemFree_bytes[5m])"
_CACHED = "avg_over_time(node_memory_Cached_bytes[5m])"
_BUFFERS = "avg_over_time(node_memory_Buffers_bytes[5m])"
_TOTAL = "avg_over_time(node_memory_MemTotal_bytes[5m])"

FIELDS: Final[tuple[Field, ...]] = (
    Field(name="cpu", unit="s"),
    Field(name="ram", unit="bytes", query="node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes"),
    Field(name="cpu-%", unit="%", query=f"100 - avg by (instance) ({_IDLE}) * 100"),
    Field(name="ram-%", unit="%", query=f"100 * (1 - ({_FREE} + {_CACHED} + {_BUFFERS}) / {_TOTAL})"),
    Field(name="rx-bytes", unit="bytes", query="node_network_receive_bytes_total"),
    Field(name="tx-bytes", unit="bytes", query="node_network_transmit_bytes_total"),
    Field(name="rx-bytes-per-sec", unit="bytes/s", query="rate(node_network_receive_bytes_total[5m])"),
    Field(name="tx-bytes-per-sec", unit="bytes/s", query="rate(node_network_transmit_bytes_total[5m])"),
    Field(name="latency", unit="ms"),
    Field(name="bandwidth-%", unit="%"),
    Field(
        name="filesystem-available-space",
        unit="bytes",
        query='node_filesystem_avail_bytes{mountpoint="/"}',
    ),
)
"""Those that need not be registered."""
_NAMES: Final = frozenset(field.name for field in FIELDS)


def check_field(name: str, *, queries: Collection[str] = ()) -> None:
    """Refuses what is no field.

    Args:
        name: a listed field, `anomaly-score/<algorithm>`, `root-cause-rank/<algorithm>`, or one of `queries`.
        queries: names of fields that are registered with a Prometheus query.

    Raises:
        InvalidInput: it is none of them.
    """
    if name in _NAMES or name in queries:
        return
    if any(name.startswith(prefix) and name != prefix for prefix in (ANOMALY_SCORE, ROOT_CAUSE_RANK)):
        return
    msg = (
        f"there is no field {name[:80]!r}; take one of {', '.join(sorted(_NAMES))}, "
        f"{ANOMALY_SCORE}<algorithm> or {ROOT_CAUSE_RANK}<algorithm>, or register a Prometheus query under "
        "that name"
    )
    raise InvalidInput(msg)
