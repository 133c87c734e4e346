"""NetworkChaos: netem, tbf and iptables in the network of the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.network_bandwidth import NetworkBandwidth
from microservo.domain.faults.kinds.network_corrupt import NetworkCorrupt
from microservo.domain.faults.kinds.network_delay import NetworkDelay
from microservo.domain.faults.kinds.network_duplicate import NetworkDuplicate
from microservo.domain.faults.kinds.network_loss import NetworkLoss
from microservo.domain.faults.kinds.network_partition import NetworkPartition
from microservo.domain.faults.kinds.network_reorder import NetworkReorder
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import microseconds, percent
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "NetworkChaos"
_NO_CORRELATION = "0"
# tc-tbf(8): at least the rate divided by the kernel's ticks, here 100 a second, and a packet.
_TICKS_PER_S = 100
_LEAST_BURST_BYTES = 10_000
_QUEUE_BYTES = 20 * 2**20


def _delay(fault: NetworkDelay, _pod: Pod) -> Experiment:
    return _leaving("delay", fault.peer, delay=_latency(fault.latency_us, fault.jitter_us))


def _loss(fault: NetworkLoss, _pod: Pod) -> Experiment:
    return _leaving("loss", fault.peer, loss={"loss": percent(fault.ratio), "correlation": _NO_CORRELATION})


def _duplicate(fault: NetworkDuplicate, _pod: Pod) -> Experiment:
    return _leaving(
        "duplicate", duplicate={"duplicate": percent(fault.ratio), "correlation": _NO_CORRELATION}
    )


def _corrupt(fault: NetworkCorrupt, _pod: Pod) -> Experiment:
    return _leaving("corrupt", corrupt={"corrupt": percent(fault.ratio), "correlation": _NO_CORRELATION})


def _reorder(fault: NetworkReorder, _pod: Pod) -> Experiment:
    reorder = {"reorder": percent(fault.ratio), "correlation": _NO_CORRELATION, "gap": fault.gap}
    return _leaving("delay", delay={**_latency(fault.latency_us, 0), "reorder": reorder})


def _bandwidth(fault: NetworkBandwidth, _pod: Pod) -> Experiment:
    burst = max(_LEAST_BURST_BYTES, fault.bytes_per_s // _TICKS_PER_S)
    # In Chaos Mesh "bps" are bytes per second.
    rate = {"rate": f"{fault.bytes_per_s}bps", "limit": _QUEUE_BYTES, "buffer": burst}
    return _leaving("bandwidth", fault.peer, bandwidth=rate)


def _partition(fault: NetworkPartition, _pod: Pod) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": "partition", "direction": "both"}, peer=fault.peer)


def _leaving(action: str, peer: str = "", **spec: Mapping[str, Any]) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": action, "direction": "to", **spec}, peer=peer)


def _latency(latency_us: int, jitter_us: int) -> Mapping[str, str]:
    return {
        "latency": microseconds(latency_us),
        "jitter": microseconds(jitter_us),
        "correlation": _NO_CORRELATION,
    }


BUILDERS: Mapping[type[Fault], Any] = {
    NetworkBandwidth: _bandwidth,
    NetworkCorrupt: _corrupt,
    NetworkDelay: _delay,
    NetworkDuplicate: _duplicate,
    NetworkLoss: _loss,
    NetworkPartition: _partition,
    NetworkReorder: _reorder,
}
