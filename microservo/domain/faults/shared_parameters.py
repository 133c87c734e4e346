"""Parameters that several kinds have, so that they are spelt and bounded alike."""

from __future__ import annotations

from microservo.domain.faults.base import Parameter
from microservo.domain.faults.units import RATIO, TEXT

SHARE_OF_REQUESTS = Parameter(
    name="ratio",
    field="ratio",
    unit=RATIO,
    doc="share of requests",
    default="50%",
    low=0.001,
    high=1,
)
ENDPOINT = Parameter(
    name="endpoint", field="endpoint", unit=TEXT, doc="only this one; empty: all", default=""
)
PEER = Parameter(
    name="peer", field="peer", unit=TEXT, doc="only towards this service; empty: all", default=""
)
CALLEE = Parameter(
    name="peer", field="peer", unit=TEXT, doc="only this service that it calls; empty: all", default=""
)
LOOKED_UP = Parameter(name="name", field="name", unit=TEXT, doc="only this name; empty: all", default="")
SIGNALS = Parameter(
    name="signals",
    field="signals",
    unit=TEXT,
    doc="of what the service sends",
    default="all",
    choices=("all", "traces", "metrics", "logs"),
)
SHARE_OF_RECORDS = Parameter(
    name="ratio",
    field="ratio",
    unit=RATIO,
    doc="share of records",
    default="100%",
    low=0.001,
    high=1,
)
VOLUME = Parameter(
    name="volume", field="volume", unit=TEXT, doc="folder that a volume is mounted on; on this machine /data"
)
FILE = Parameter(
    name="path", field="path", unit=TEXT, doc="only this file; empty: all below the volume", default=""
)
SHARE_OF_CALLS = Parameter(
    name="ratio",
    field="ratio",
    unit=RATIO,
    doc="share of calls",
    default="100%",
    low=0.001,
    high=1,
)
