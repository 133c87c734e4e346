"""A fault as the observer knows it: where it is in force, since when, and what it may do to whom."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.effects.generic import GENERIC
from microservo.domain.faults.base import Contract, Measure
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from schemas.records import ServiceFault

_BEFORE_ROOT = frozenset({"root", "caller"})
_WAITING = frozenset({"root", "caller", "user"})


class ObservedFault:
    """One fault with its newest record for each service that it may reach."""

    def __init__(self, record: ServiceFault) -> None:
        self.fault_id = record.fault_id
        self.run_id = record.run_id
        self.root_service = record.root_service
        self.records: dict[str, ServiceFault] = {}
        self.contract = contract_of(record.kind, record.parameters, record.severity)
        self._newest = record

    def update(self, record: ServiceFault) -> None:
        """Takes a record over unless a higher version of it is known."""
        known = self.records.get(record.service)
        if known is None or record.version >= known.version:
            self.records[record.service] = record
        if record.version >= self._newest.version:
            self._newest = record

    @property
    def touched_us(self) -> int | None:
        """Since when the target may have been touched."""
        newest = self._newest
        if newest.apply_commanded_at_us is None or newest.applied_at_us is None:
            return newest.apply_commanded_at_us or self.begin_us
        return min(newest.apply_commanded_at_us, newest.applied_at_us)

    @property
    def begin_us(self) -> int | None:
        """Since when it is in force, at the earliest; None before."""
        newest = self._newest
        if newest.applied_at_us is None:
            return None
        return newest.applied_at_us - (newest.applied_within_us or 0)

    @property
    def end_us(self) -> int | None:
        """Until when it was in force, at the latest; None while it is."""
        newest = self._newest
        if newest.recovered_at_us is None:
            return None
        return newest.recovered_at_us + (newest.recovered_within_us or 0)

    @property
    def has_acted(self) -> bool:
        """Whether the mechanism counted anything, or doesn't count."""
        return self._newest.acted is None or self._newest.acted > 0

    @property
    def acted(self) -> int | None:
        """What the mechanism counted; None where it doesn't."""
        return self._newest.acted

    def peers(self, service: str) -> frozenset[str]:
        """The services that `service` calls and that lie nearer to the root cause, or are it."""
        hops = self.records[service].hops
        if self.records[service].relation not in _WAITING:
            return frozenset()
        return frozenset(
            name
            for name, record in self.records.items()
            if record.relation in _BEFORE_ROOT and record.hops < hops
        )

    def measures(self, service: str) -> tuple[Measure, ...]:
        """What is tested at a service."""
        record = self.records[service]
        measures = self.contract.of(record.relation)
        if record.relation == "caller" and record.hops > 1:
            return tuple(measure.diluted(_DISTANT) for measure in measures)
        return measures

    def is_near(self, service: str) -> bool:
        """Whether the service is the root cause, or calls it itself."""
        record = self.records[service]
        return record.relation in _WAITING and record.hops <= 1

    def explains(self, service: str, measure: Measure, peers: frozenset[str]) -> bool:
        """Whether it may move a measure at a service, tested there or not.

        The root cause may do anything; who waits for it is slower and fails, towards it and to its own
        callers; whoever is connected may see another load.
        """
        record = self.records.get(service)
        if record is None or self.contract.is_empty:
            return False
        if record.relation == "root" or measure.statistic == "count":
            return True
        if record.relation in _WAITING:
            return measure.of != "calls" or bool(peers & self.peers(service))
        if record.relation == "callee":
            return measure.direction == "down" and measure.of == "metric"
        return any(each.of == measure.of and each.metric == measure.metric for each in self.measures(service))


def contract_of(kind: str, parameters: Mapping[str, str], severity: float) -> Contract:
    """The contract of a kind with its parameters; a generic one for a kind that is not in the catalogue."""
    if severity <= 0:
        return Contract()
    if kind not in KINDS:
        return GENERIC
    try:
        return KINDS[kind].from_canonical(parameters).contract()
    except InvalidInput:
        # Parameters of another version of the kind, which this one can't read.
        return GENERIC


_DISTANT = 2.0
