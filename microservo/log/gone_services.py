"""Services that are declared gone: their silence is nothing that windows of the run tell of any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput
from microservo.log.inventories import last_inventories
from microservo.log.run_records import update_run
from schemas.records import Experiment, GoneService


def retire_service(
    broker: Broker,
    *,
    run_id: str,
    service: str,
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> GoneService:
    """Enters into the record of a run that a service is gone, and returns the entry.

    The collectors follow the record. What the service sends of a later instant makes it known again.

    Args:
        broker: where the run is.
        run_id: the run.
        service: its name.
        process: who retires it, as the contract names it.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.

    Raises:
        InvalidInput: there is no such run, it is over, or nothing is known of the service.
        Retryable: the broker is away for now.
    """
    gone = GoneService(service=service, at_us=clock())
    inventories = last_inventories(broker, run_id=run_id, until_us=gone.at_us, topic_prefix=topic_prefix)
    names = [each.service for each in inventories]
    if service not in names:
        msg = (
            f"nothing is known of a service {service!r} in run {run_id!r} now; "
            f"those that push telemetry: {', '.join(names) or 'none'}"
        )
        raise InvalidInput(msg)

    def enter(run: Experiment) -> Experiment:
        if run.status != "running":
            msg = f"run {run_id!r} is over ({run.status}); nothing of it waits for {service}"
            raise InvalidInput(msg)
        others = [each for each in run.gone if each.service != service]
        return replace(run, gone=(*others, gone))

    run = update_run(broker, run_id, enter, process=process, clock=clock, topic_prefix=topic_prefix)
    if run is None:
        msg = f"there is no record of run {run_id!r}, so nobody would learn that {service} is gone"
        raise InvalidInput(msg)
    return gone
