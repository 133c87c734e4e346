"""The faults a sidecar can make: one small class per kind; a new kind is one module and one line here."""

from __future__ import annotations

from services.sidecar.faults.bandwidth import NetworkBandwidth
from services.sidecar.faults.base import RequestFault, SegmentFault
from services.sidecar.faults.delay import NetworkDelay
from services.sidecar.faults.http_abort import HttpAbort
from services.sidecar.faults.http_delay import HttpDelay
from services.sidecar.faults.loss import NetworkLoss
from services.sidecar.faults.reset import ConnectionReset

SEGMENT_FAULTS: dict[str, type[SegmentFault]] = {
    fault.kind: fault for fault in (NetworkDelay, NetworkLoss, NetworkBandwidth)
}
REQUEST_FAULTS: dict[str, type[RequestFault]] = {
    fault.kind: fault for fault in (ConnectionReset, HttpDelay, HttpAbort)
}
KINDS = (*SEGMENT_FAULTS, *REQUEST_FAULTS)
