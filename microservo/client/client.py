"""The three everyday acts from Python: request a fault, subscribe to a topic, rebuild a dataset.

Example::

    from microservo import Client

    with Client() as client:                        # the system that `microservo up` runs here
        fault_id = client.request_fault(
            "network-delay", service="cartservice", duration="20s", latency="300ms"
        )
        client.wait_for_fault(fault_id, "active", timeout_s=30)
        for received in client.subscribe("labelled-windows", start="latest"):
            print(received.record)
"""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.application.connection import Connection, connect
from microservo.domain.faults.catalogue import check_id, parse_request
from microservo.domain.faults.units import parse_duration
from microservo.errors import InvalidInput
from microservo.log.faults import latest_events, wait_for_event
from microservo.log.subscription import Start, Subscription
from microservo.log.topics import DEFAULT_PARTITIONS, TopicStatus, topic_specs, topic_statuses
from microservo.platforms.local.platform import LocalPlatform, running_platform
from microservo.platforms.platform import kinds_here, services_of
from microservo.supervision.system_file import SystemFile
from schemas import catalogue
from schemas.codec import encode
from schemas.envelope import cloud_event
from schemas.records import Experiment, FaultEvent, FaultRequest, FaultState

if TYPE_CHECKING:
    from microservo.domain.datasets.manifest import Manifest

_FLUSH_S = 30.0
LATEST_RUN = "latest"


class Client:
    """A user's view of a MicroServo system, on the broker that it runs on.

    Args:
        bootstrap_servers: the broker; `MICROSERVO_BOOTSTRAP_SERVERS`, then the running system's if not given.
        system: name of a system that runs on this machine.
        topic_prefix: put before every topic name.
        broker: used instead of all that, for tests.

    Raises:
        Unavailable: no broker was named and no system runs here.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        *,
        system: str | None = None,
        topic_prefix: str | None = None,
        broker: Broker | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._connection = (
            connect(bootstrap_servers, system=system, topic_prefix=topic_prefix)
            if broker is None
            else Connection(broker=broker, topic_prefix=topic_prefix or "")
        )
        self._clock = clock

    @property
    def system(self) -> SystemFile | None:
        """The system of this machine that the broker belongs to, where there is one."""
        return self._connection.system

    @property
    def broker(self) -> Broker:
        """The broker, for what this class does not offer."""
        return self._connection.broker

    @property
    def topic_prefix(self) -> str:
        """What stands before the names of topics."""
        return self._connection.topic_prefix

    def request_fault(
        self,
        kind: str,
        *,
        service: str,
        duration: str | timedelta | None = None,
        instances: Sequence[str] = (),
        start_at: datetime | None = None,
        fault_id: str | None = None,
        parameters: Mapping[str, object] | None = None,
        **more_parameters: object,
    ) -> str:
        """Asks for a fault and returns its id; the request is durable then, the fault not yet in force.

        Args:
            kind: one of `microservo fault kinds`.
            service: the target; every instance of it unless `instances` names some.
            duration: how long, for example "20s"; not needed for a kind that acts once.
            instances: ids of the instances to hit.
            start_at: when to begin; now if not given.
            fault_id: identity; made up if not given.
            parameters: of the kind, as people write them, for example {"latency": "300ms"}.
            more_parameters: further parameters by name.

        Raises:
            InvalidInput: it can't be carried out; nothing was sent.
        """
        request = FaultRequest(
            fault_id=fault_id or f"{kind}-{secrets.token_hex(4)}",
            action="inject",
            requested_at_us=self._clock(),
            kind=kind,
            service=service,
            instances=tuple(instances),
            parameters={
                name: str(value) for name, value in {**(parameters or {}), **more_parameters}.items()
            },
            duration_us=_duration_us(duration),
            start_at_us=None if start_at is None else _instant_us(start_at),
            requested_by=_user(),
        )
        platform = self._platform()
        if platform is None:
            parse_request(request)
        else:
            parse_request(request, services_of(platform), kinds_here(platform))
        self._command(request)
        return request.fault_id

    def stop_fault(self, fault_id: str) -> None:
        """Asks to end a fault before its time.

        Raises:
            InvalidInput: there is no such fault, or it is over.
        """
        check_id(fault_id)
        events = [event for event in self.faults() if event.fault_id == fault_id]
        if not events:
            msg = f"there is no fault {fault_id!r}; `microservo fault list` shows those that are"
            raise InvalidInput(msg)
        if all(event.state in ("rejected", "recovered", "failed", "stopped") for event in events):
            msg = f"fault {fault_id!r} is over: {events[0].state}; there is nothing to stop"
            raise InvalidInput(msg)
        self._command(FaultRequest(fault_id=fault_id, action="stop", requested_at_us=self._clock()))

    def faults(self) -> list[FaultEvent]:
        """The newest event of every fault and instance, in order of the requests."""
        return latest_events(self._connection.broker, self._physical(catalogue.FAULTS))

    def wait_for_fault(self, fault_id: str, state: FaultState, timeout_s: float) -> FaultEvent:
        """Waits until a fault has reached a state on each of its instances; returns the event that says so.

        Raises:
            InvalidInput: it was rejected.
            MicroServoError: it ended in another way.
            Unavailable: `timeout_s` seconds have passed.
        """
        topic = self._physical(catalogue.FAULT_EVENTS)
        return wait_for_event(self._connection.broker, topic, fault_id, state, timeout_s)

    def subscribe(
        self, topic: str, *, start: Start = "latest", until_end: bool = False, group_id: str | None = None
    ) -> Subscription:
        """The messages of a topic with their records, as they come; see `Subscription`.

        Args:
            topic: logical name, for example "labelled-windows", or a dead-letter topic of one.
            start: "earliest", "latest" or an instant.
            until_end: stop after what is there now.
            group_id: share the topic with the other members of a group.
        """
        return Subscription(
            self._connection.broker,
            self._physical(topic),
            start=start,
            until_end=until_end,
            group_id=group_id,
        )

    def topics(self) -> list[TopicStatus]:
        """Every topic of the contract, as the broker has it."""
        return topic_statuses(self._connection.broker, self.topic_prefix)

    def ensure_topics(self, partitions: int = DEFAULT_PARTITIONS) -> list[str]:
        """Creates the topics that are missing and returns their names.

        Raises:
            InvalidInput: one exists with another number of partitions.
        """
        specs = topic_specs(prefix=self.topic_prefix, partitions=partitions)
        return self._connection.broker.admin().ensure_topics(specs)

    def runs(self) -> list[Experiment]:
        """The newest state of every run, in order of their start."""
        from microservo.log.runs import runs  # noqa: PLC0415  # loads pyarrow, as below

        return runs(self._connection.broker, self.topic_prefix)

    def rebuild_dataset(
        self, run_id: str, out_dir: str | Path, progress: Callable[[int, int], None] | None = None
    ) -> Manifest:
        """Rebuilds the dataset of a run from the log.

        Args:
            run_id: one of `runs`, or "latest".
            out_dir: folder to write; it must not hold anything else.
            progress: called as (messages read, messages in all).

        Raises:
            InvalidInput: there is no such run.
            OffsetGap: the log no longer holds all of it.
        """
        # pyarrow takes a while to load, and most who talk to a system never need it.
        from microservo.datasets.rebuild import rebuild  # noqa: PLC0415

        return rebuild(
            self._connection.broker,
            run_id=self._resolve(run_id),
            out_dir=Path(out_dir),
            topic_prefix=self.topic_prefix,
            progress=progress,
        )

    def close(self) -> None:
        """Nothing stays open between calls; here for `with`."""

    def _resolve(self, run_id: str) -> str:
        if run_id != LATEST_RUN:
            return run_id
        known = self.runs()
        if not known:
            msg = "there is no run yet; `microservo demo` makes one"
            raise InvalidInput(msg)
        return known[-1].run_id

    def _physical(self, topic: str) -> str:
        if topic.removesuffix(catalogue.DEAD_LETTER_SUFFIX) not in catalogue.catalogue():
            msg = f"there is no topic {topic!r}; choose one of {', '.join(catalogue.catalogue())}"
            raise InvalidInput(msg)
        return self.topic_prefix + topic

    def _platform(self) -> LocalPlatform | None:
        """The target that runs here; None leaves the judgement to the injector."""
        return None if self.system is None else running_platform(Path(self.system.target_state))

    def _command(self, draft: FaultRequest) -> None:
        with self._connection.broker.producer(linger_ms=0) as producer:
            # Finding the broker took a while; what a fault's times count from is the sending.
            request = replace(draft, requested_at_us=self._clock())
            headers = cloud_event(
                event_type="microservo.fault_request",
                source="/client",
                event_id=f"{request.fault_id}/{request.action}",
                time_us=request.requested_at_us,
            )
            producer.send(
                self._physical(catalogue.FAULT_REQUESTS),
                key=request.fault_id.encode(),
                value=encode(request),
                headers=headers,
            )
            producer.flush(_FLUSH_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return ""


def _duration_us(duration: str | timedelta | None) -> int:
    if duration is None:
        return 0
    if isinstance(duration, timedelta):
        return duration // timedelta(microseconds=1)
    return parse_duration(duration)


def _instant_us(instant: datetime) -> int:
    if instant.tzinfo is None:
        msg = f"instant {instant.isoformat()} has no time zone; add one, for example +00:00 or Z"
        raise InvalidInput(msg)
    return round(instant.timestamp() * 1_000_000)
