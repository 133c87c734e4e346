"""The state of a fault as a record, and back: what one process writes and the next one goes on from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from microservo.domain.faults.decider.events import KnownFault
from microservo.domain.faults.decider.state import ClosedFault, OpenFault
from microservo.domain.faults.lifecycle import ExposedService, fold
from schemas.codec import SchemaError, decode, encode
from schemas.records import FaultEvent, FaultRequest, FaultSnapshot, ServiceFault


def snapshot(fault: OpenFault | ClosedFault) -> FaultSnapshot:
    """The state of a fault; its positions are those of nowhere."""
    whole, request = fault.status.whole, fault.request
    exposed = fault.exposed if isinstance(fault, OpenFault) else ()
    events = sorted(fault.status.latest.values(), key=lambda event: event.version)
    return FaultSnapshot(
        fault_id=whole.fault_id,
        run_id=whole.run_id,
        version=fault.status.version,
        instances=fault.instances if isinstance(fault, OpenFault) else (),
        services=tuple(each.service for each in exposed),
        relations=tuple(each.relation for each in exposed),
        hops=tuple(each.hops for each in exposed),
        records=tuple(map(encode, events if request is None else (request, *events))),
        positions=(),
    )


def events_of(snapshot: FaultSnapshot) -> list[FaultEvent]:
    """The newest event of each instance, and of the whole.

    Raises:
        SchemaError: one of them can't be read.
    """
    return [record for record in map(decode, snapshot.records) if isinstance(record, FaultEvent)]


def known_fault(snapshot: FaultSnapshot) -> KnownFault:
    """The fault of which this is the state.

    Raises:
        SchemaError: it holds a record that can't be read, or no event.
    """
    records = [decode(record) for record in snapshot.records]
    events = [record for record in records if isinstance(record, FaultEvent)]
    if not events:
        msg = f"the state of fault {snapshot.fault_id!r} holds no event; it is left out"
        raise SchemaError(msg)
    return KnownFault(
        status=fold(events)[events[0].fault_id].from_version(snapshot.version),
        request=next((record for record in records if isinstance(record, FaultRequest)), None),
        instances=snapshot.instances,
        exposed=tuple(_exposed(snapshot)),
    )


def reconciled(
    known: Iterable[KnownFault], events: Iterable[FaultEvent], service_faults: Iterable[ServiceFault]
) -> list[KnownFault]:
    """The faults after what was published later than their states, which a crash has kept from being stored.

    Args:
        known: by their states, in the order of their last change.
        events: those that the states may not know, in any order; what they know already changes nothing.
        service_faults: likewise; a version may have gone to the services, and its event have been lost.
    """
    faults = {each.status.whole.fault_id: each for each in known}
    for event in sorted(events, key=lambda event: event.version):
        _add_event(faults, event)
    for record in service_faults:
        if record.fault_id in faults:
            faults[record.fault_id] = _with_service(faults[record.fault_id], record)
    return list(faults.values())


def _exposed(snapshot: FaultSnapshot) -> Iterator[ExposedService]:
    # Before version 2 it held the target and its callers, and no relations.
    relations = snapshot.relations or tuple("caller" if hops else "root" for hops in snapshot.hops)
    for service, relation, hops in zip(snapshot.services, relations, snapshot.hops, strict=True):
        yield ExposedService(service=service, relation=relation, hops=hops)


def _add_event(faults: dict[str, KnownFault], event: FaultEvent) -> None:
    before = faults.get(event.fault_id)
    if before is None:
        faults[event.fault_id] = KnownFault(status=fold([event])[event.fault_id], is_stored=False)
        return
    status = before.status.with_event(event)
    if status is before.status:
        return
    # It goes to the end, for it has changed last.
    del faults[event.fault_id]
    faults[event.fault_id] = replace(before, status=status, is_stored=False)


def _with_service(fault: KnownFault, record: ServiceFault) -> KnownFault:
    # Records from before version 2 have no relation.
    relation = "root" if record.role == "root_cause" else record.relation
    exposed = ExposedService(service=record.service, relation=relation, hops=record.hops)
    known = {each.service for each in fault.exposed}
    return replace(
        fault,
        status=fault.status.from_version(record.version),
        exposed=fault.exposed if record.service in known else (*fault.exposed, exposed),
    )
