"""A registry as its threads share it: requests on one, the log on another, the watch on a third."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from microservo.domain.geography import Coordinates, distances_m, region_of
from microservo.domain.registry.directory import Changes, Directory
from microservo.domain.registry.documents import (
    EndpointQuestion,
    InstanceDocument,
    LocationRowDocument,
    LocationsAnswer,
    LocationsQuestion,
    PlaceDocument,
    RegistrationDocument,
    instance_document,
)
from microservo.domain.registry.instances import REGISTRY_SERVICE, Condition, registration_id, state_of
from microservo.domain.registry.locations import LocationCounts, Place
from microservo.domain.registry.selection import choose
from microservo.errors import InvalidInput
from schemas.records import Registration, RequestLocations

MOST_INSTANCES = 1_000_000
PRESENCE_S = 2.0
INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What is to be written to the log, and how many rows of locations will never be."""

    changes: Changes
    locations: Sequence[RequestLocations] = ()
    lost: int = 0


class Registry:
    """What one registry knows, with one lock around it; every call is short.

    Args:
        own: its own registration.
        clock: epoch microseconds UTC.
        monotonic_s: seconds of a clock that only runs forward.
        seed: of what is chosen by chance.
        lease_s: seconds of silence after which an instance is gone.
    """

    def __init__(
        self,
        own: Registration,
        *,
        clock: Callable[[], int],
        monotonic_s: Callable[[], float],
        seed: int,
        lease_s: float,
    ) -> None:
        self.place = Coordinates(own.latitude, own.longitude)
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._directory = Directory(own, lease_s=lease_s)
        self._locations = LocationCounts(own.instance, clock())
        self._heard_at_s = self._closed_at_s = monotonic_s()
        self._said_at_s = self._heard_at_s - PRESENCE_S

    @property
    def age_s(self) -> float:
        """Seconds since what this registry wrote last came back by way of the log; a few, as a rule."""
        return self._monotonic_s() - self._heard_at_s

    def register(self, document: RegistrationDocument) -> InstanceDocument:
        """Registers an instance, or again with what is new of it.

        Raises:
            InvalidInput: it is none, or there are too many.
        """
        if document.service == REGISTRY_SERVICE:
            msg = (
                f"the service {REGISTRY_SERVICE!r} is that of the registries themselves; choose another name"
            )
            raise InvalidInput(msg)
        record = self._record_of(document)
        with self._lock:
            if len(self._directory.instances) >= MOST_INSTANCES:
                msg = f"{MOST_INSTANCES} instances are registered, and more can't be; remove some"
                raise InvalidInput(msg)
            self._directory.register(record, self._monotonic_s())
            return self._document(record)

    def renew(self, service: str, instance: str, condition: Condition) -> InstanceDocument:
        """A heartbeat; errors as of `Directory.renew`."""
        key = registration_id(service, instance)
        with self._lock:
            found = self._directory.renew(key, condition, at_s=self._monotonic_s(), at_us=self._clock())
            return self._document(found)

    def change(self, service: str, instance: str, condition: Condition) -> InstanceDocument:
        """What somebody says of an instance; errors as of `Directory.renew`."""
        with self._lock:
            key = registration_id(service, instance)
            return self._document(self._directory.change(key, condition, at_us=self._clock()))

    def remove(self, service: str, instance: str) -> None:
        """Deregisters an instance; errors as of `Directory.renew`."""
        with self._lock:
            self._directory.remove(registration_id(service, instance))

    def endpoint(
        self, service: str, question: EndpointQuestion, place: Coordinates
    ) -> InstanceDocument | None:
        """An instance of a service for who asks from a place, which is counted; None where there is none.

        Raises:
            InvalidInput: the question asks for two things at once.
        """
        selection = question.selection()
        with self._lock:
            self._locations.add([Place(service, place.latitude, place.longitude, 1)], self._clock())
            found = choose(self._directory.instances.columns(service), place, selection, self._random)
            return None if found is None else self._document(found.record, distance_m=found.distance_m)

    def endpoints(self, service: str, place: Coordinates) -> list[InstanceDocument]:
        """All instances of a service, the closest one first."""
        with self._lock:
            found = self._directory.instances.of(service)
        distances = distances_m(
            place.latitude,
            place.longitude,
            [record.latitude for record, _ in found],
            [record.longitude for record, _ in found],
        )
        documents = [
            instance_document(record, state, distance_m=float(distance))
            for (record, state), distance in zip(found, distances, strict=True)
        ]
        return [documents[row] for row in distances.argsort(kind="stable")]

    def services(self) -> dict[str, int]:
        """How many instances there are of each service."""
        with self._lock:
            return self._directory.instances.services()

    def count(self, places: Sequence[Place]) -> int:
        """Counts requests from places; returns how many."""
        with self._lock:
            self._locations.add(places, self._clock())
        return sum(place.requests for place in places)

    def locations(self, question: LocationsQuestion) -> LocationsAnswer:
        """From where requests came."""
        now_us = self._clock()
        if question.aggregation:
            with self._lock:
                totals = self._locations.totals(question.interval * 1000, now_us)
            services = {service: [_place(each) for each in places] for service, places in totals.items()}
            return LocationsAnswer(interval_ms=question.interval, services=services)
        with self._lock:
            rows = self._locations.newest(question.limit, now_us)
        return LocationsAnswer(requests=[_row(until_us, place) for until_us, place in rows])

    def restore(self, records: Iterable[Registration]) -> None:
        """Takes up what the log holds at the start."""
        with self._lock:
            self._directory.restore(records, self._monotonic_s())
            self._heard_at_s = self._monotonic_s()

    def observe(self, changes: Iterable[tuple[str, Registration | None]]) -> None:
        """Takes in what has come on the log."""
        with self._lock:
            for key, record in changes:
                if self._directory.observe(key, record):
                    self._heard_at_s = self._monotonic_s()

    def advance(self) -> list[str]:
        """Ends leases and the interval of locations, by now; returns the instances that are gone."""
        with self._lock:
            at_s = self._monotonic_s()
            if at_s - self._closed_at_s >= INTERVAL_S:
                self._locations.close_interval(self._clock())
                self._closed_at_s = at_s
            return self._directory.expire(at_s)

    def outgoing(self) -> Outgoing:
        """What is to be written to the log; asked again, what is new since."""
        with self._lock:
            changes = self._directory.take_changes()
            at_s = self._monotonic_s()
            if at_s - self._said_at_s >= PRESENCE_S:
                presence = self._directory.presence(self._clock())
                changes[presence.registration_id] = presence
                self._said_at_s = at_s
            return Outgoing(
                changes=changes,
                locations=self._locations.take_unwritten(),
                lost=self._locations.take_lost(),
            )

    def watched(self) -> list[Registration]:
        """The instances that this registry watches."""
        with self._lock:
            return self._directory.watched()

    def _document(self, record: Registration, *, distance_m: float | None = None) -> InstanceDocument:
        state = state_of(record, self._directory.instances.silent)
        return instance_document(record, state, distance_m=distance_m)

    def _record_of(self, document: RegistrationDocument) -> Registration:
        place = (
            self.place
            if document.latitude is None or document.longitude is None
            else Coordinates(document.latitude, document.longitude)
        )
        now_us = self._clock()
        return Registration(
            registration_id=registration_id(document.service, document.instance_name),
            service=document.service,
            instance=document.instance_name,
            endpoint=document.endpoint,
            latitude=place.latitude,
            longitude=place.longitude,
            region=document.region or region_of(place).name,
            registry=self._directory.name,
            healthy=document.healthy is not False,
            draining=document.draining is True,
            load=document.load,
            pid=document.pid,
            health_url=document.health_url or "",
            metadata=dict(document.metadata),
            registered_at_us=now_us,
            updated_at_us=now_us,
        )


def _row(until_us: int, place: Place) -> LocationRowDocument:
    return LocationRowDocument(
        service=place.service,
        latitude=place.latitude,
        longitude=place.longitude,
        count=place.requests,
        until_us=until_us,
    )


def _place(place: Place) -> PlaceDocument:
    return PlaceDocument(latitude=place.latitude, longitude=place.longitude, count=place.requests)
