"""States of faults as the injector keeps them on `faults`."""

from __future__ import annotations

from schemas.codec import encode
from schemas.records import FaultEvent, FaultSnapshot


def state_of(*newest: FaultEvent) -> FaultSnapshot:
    """The state of a fault, by the newest event of each of its instances."""
    first = newest[0]
    return FaultSnapshot(
        fault_id=first.fault_id,
        run_id=first.run_id,
        version=max(event.version for event in newest),
        instances=tuple(event.instance for event in newest if event.instance),
        services=(),
        relations=(),
        hops=(),
        records=tuple(map(encode, newest)),
        positions=(),
    )
