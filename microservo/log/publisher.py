"""Records to their topics: the one way in which a process of ours writes.

Where a record goes, its key and what it is as an event stand in the contract (`schemas/topics`), so a
publisher needs nothing but the record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from microservo.adapters.broker import Message, Producer
from microservo.domain.telemetry import Batch, record_count
from microservo.errors import InvalidInput
from microservo.log.stamped import StampedWriter
from schemas.catalogue import Event, Topic, topic_of
from schemas.codec import encode
from schemas.envelope import Headers, cloud_event
from schemas.files import record_name
from schemas.records import ServiceInventory

_NO_WRITERS: Mapping[str, StampedWriter] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """Where records of a type go, and as what."""

    topic: Topic
    event_type: str
    event: Event


class Publisher:
    """Writes records, through producers that the caller flushes before it commits; belongs to one thread.

    Args:
        producer: for topics that aren't joined.
        process: who writes, as the contract names it among the producers of topics, e.g. "fault_injector".
        prefix: what stands before the logical names of topics on this broker.
        clock: epoch microseconds UTC; the time of events whose record has none.
        writers: the stamped writer of each joined topic that is written, by the topic's logical name.
    """

    def __init__(
        self,
        producer: Producer,
        process: str,
        *,
        prefix: str,
        clock: Callable[[], int],
        writers: Mapping[str, StampedWriter] = _NO_WRITERS,
    ) -> None:
        self._producer = producer
        self._process = process
        self._source = source_of(process)
        self._prefix = prefix
        self._clock = clock
        self._writers = writers
        self._routes: dict[type, _Route] = {}

    def publish(
        self,
        record: object,
        *,
        partition: int | None = None,
        headers: Headers = (),
        on_delivery: Callable[[Message], None] | None = None,
    ) -> None:
        """Queues one record on its topic; durable after `flush`, when `on_delivery` is called.

        Args:
            record: a record of the contract.
            partition: where it goes, instead of where its key leads.
            headers: more of them, for a topic that isn't joined.
            on_delivery: as `Producer.send`.

        Raises:
            SchemaError: no record of the contract, or a field has a value that its schema does not take.
            InvalidInput: this process is not among the producers of the record's topic, or the topic is
                joined and there is no writer for it.
            Retryable: the queue is full; nothing was counted, so publish it again.
            Fatal: an earlier message could not be delivered.
        """
        value = encode(record)
        route = self._route(type(record))
        topic = route.topic
        key = getattr(record, topic.key).encode()
        if topic.joined:
            writer = self._writers[topic.name]
            writer.send(key, value, _counted(record), partition=partition, on_delivery=on_delivery)
            return
        self._producer.send(
            topic.physical(self._prefix),
            key=key,
            value=value,
            headers=(*self._headers(route, record, value), *headers),
            partition=partition,
            on_delivery=on_delivery,
        )

    def delete(self, record_type: type, key: str, headers: Headers = ()) -> None:
        """Queues a message without a value: the state of this key is deleted.

        Args:
            record_type: whose topic it is.
            key: of the state.
            headers: what there is to say of the deletion.

        Raises:
            InvalidInput: the record is no state, or not this process's to write.
            Retryable: the queue is full; delete it again.
            Fatal: an earlier message could not be delivered.
        """
        topic = self._route(record_type).topic
        if topic.kind != "state":
            msg = f"{topic.name} holds {topic.kind}s, which stay as they are; only states can be deleted"
            raise InvalidInput(msg)
        self._producer.send(topic.physical(self._prefix), key=key.encode(), value=None, headers=headers)

    def flush(self, timeout_s: float, topic: str | None = None) -> None:
        """Waits until what was published is durable; raises as `Producer.flush`.

        Args:
            timeout_s: how long, for each producer.
            topic: logical name of a joined topic whose records alone are waited for, and nothing else that
                may still be under way.
        """
        if topic is not None:
            self._writers[topic].flush(timeout_s)
            return
        for writer in self._writers.values():
            writer.flush(timeout_s)
        self._producer.flush(timeout_s)

    def _headers(self, route: _Route, record: object, value: bytes) -> Headers:
        event = route.event
        headers = cloud_event(
            event_type=route.event_type,
            source=self._source,
            event_id=_event_id(route, record, value),
            time_us=getattr(record, event.time) if event.time else self._clock(),
        )
        run_id = getattr(record, "run_id", "")
        return (*headers, ("run", run_id.encode())) if run_id else headers

    def _route(self, record_type: type) -> _Route:
        route = self._routes.get(record_type)
        if route is None:
            route = self._routes[record_type] = self._new_route(record_type)
        return route

    def _new_route(self, record_type: type) -> _Route:
        name = record_name(record_type)
        topic = topic_of(name)
        if self._process not in topic.producers:
            producers = ", ".join(topic.producers)
            msg = (
                f"{self._process} is no producer of {topic.name}; its file in schemas/topics has {producers}"
            )
            raise InvalidInput(msg)
        if topic.joined and topic.name not in self._writers:
            msg = f"{topic.name} is joined, so its messages are stamped; give the publisher a writer for it"
            raise InvalidInput(msg)
        return _Route(topic=topic, event_type=f"microservo.{name}", event=topic.records[name])


def _counted(record: object) -> int:
    """How many records of telemetry or faults a record holds; what is known of a service is none."""
    if isinstance(record, Batch):
        return record_count(record)
    return 0 if isinstance(record, ServiceInventory) else 1


def source_of(process: str) -> str:
    """The CloudEvents source of a process of ours, by its name in the contract."""
    return f"/microservo/{process.replace('_', '-')}"


def _event_id(route: _Route, record: object, value: bytes) -> str:
    if route.event.id:
        return "/".join([str(getattr(record, field)) for field in route.event.id])
    digest = hashlib.blake2b(value, digest_size=8).hexdigest()
    return f"{getattr(record, route.topic.key)}/{digest}"
