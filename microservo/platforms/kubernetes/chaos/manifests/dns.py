"""DNSChaos: answers of a name server that Chaos Mesh puts before the cluster's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.dns_failure import DnsFailure
from microservo.domain.faults.kinds.dns_wrong_address import DnsWrongAddress
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "DNSChaos"


def _failure(fault: DnsFailure, _pod: Pod) -> Experiment:
    return _of("error", fault.name)


def _wrong(fault: DnsWrongAddress, _pod: Pod) -> Experiment:
    return _of("random", fault.name)


def _of(action: str, name: str) -> Experiment:
    # Without patterns it is every name.
    return Experiment(kind=OBJECT, spec={"action": action, **({"patterns": [name]} if name else {})})


BUILDERS: Mapping[type[Fault], Any] = {DnsFailure: _failure, DnsWrongAddress: _wrong}
