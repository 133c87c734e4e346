"""What one registry knows of all regions, and how registries come to agree by way of a log.

Each instance keeps in touch with one registry, which holds a lease for it and alone speaks for it:

- What is registered, changed or removed here holds here at once, and goes to the log.
- What others write is taken from the log, in its order. A record of another registry for an instance whose
  lease is held here means that the instance has moved there: the lease is given up.
- What the log says wrongly of an instance is said right again: its removal, by whose lease is held; its
  presence, by whose name stands in it without a lease.

So every registry that has read the log to its end knows the same, and that is what the holders of leases say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from microservo.domain.registry.instances import (
    REGISTRY_SERVICE,
    Condition,
    Instances,
    registration_id,
)
from microservo.domain.registry.leases import LEASE_S, Leases
from microservo.domain.registry.peers import Peers
from microservo.errors import InvalidInput
from schemas.records import Registration

Changes = dict[str, Registration | None]
"""Registrations by their ids; None where one is removed."""


class NotRegistered(InvalidInput):
    """There is no such instance; register it."""


class RegisteredElsewhere(InvalidInput):
    """The instance keeps in touch with another registry."""


class Directory:
    """All instances, and the leases of this registry; belongs to one thread at a time.

    Args:
        own: the registration of this registry itself.
        lease_s: seconds after which an instance of which nothing is heard is removed.

    Attributes:
        name: of this registry.
        instances: all that is known.
    """

    def __init__(self, own: Registration, *, lease_s: float = LEASE_S) -> None:
        self.instances = Instances()
        self._own = own
        self.name = own.instance
        self._leases = Leases(lease_s)
        self._held: set[str] = set()
        self._changes: Changes = {}
        self._peers = Peers(self.name)
        self.instances.put(own)

    def restore(self, records: Iterable[Registration], at_s: float) -> None:
        """Takes up what the log holds at the start; who has ended meanwhile is silent for one lease more."""
        for record in records:
            if record.registration_id == self._own.registration_id:
                continue
            self.instances.put(record)
            self._peers.heard(record.registry)
            if record.registry == self.name:
                self._hold(record, at_s)

    def register(self, record: Registration, at_s: float) -> None:
        """Enters an instance that keeps in touch with this registry from now on."""
        self._write(replace(record, registry=self.name))
        self._hold(record, at_s)

    def renew(self, key: str, condition: Condition, *, at_s: float, at_us: int) -> Registration:
        """Goes on with the lease of an instance, and enters what it says of itself.

        Args:
            key: of the registration.
            condition: what is new.
            at_s: now, of a clock that only runs forward.
            at_us: now, in epoch microseconds UTC.

        Raises:
            NotRegistered: there is no such instance.
            RegisteredElsewhere: another registry speaks for it.
        """
        record = self.change(key, condition, at_us=at_us)
        self._hold(record, at_s)
        return record

    def change(self, key: str, condition: Condition, *, at_us: int) -> Registration:
        """Enters what somebody says of an instance; arguments and errors as of `renew`."""
        record = self._own_record(key)
        changed = condition.applied(record, at_us)
        if changed is not record:
            self._write(changed)
        return changed

    def remove(self, key: str) -> None:
        """Removes an instance; errors as of `renew`."""
        self._own_record(key)
        self._release(key)
        self._remove(key)

    def expire(self, at_s: float) -> list[str]:
        """Removes the instances of which nothing was heard for too long, and returns their keys."""
        ended = self._leases.ended(at_s)
        for key in ended:
            self._held.discard(key)
            self._remove(key)
        return ended

    def watched(self) -> list[Registration]:
        """Those of this registry's own that it watches itself."""
        own = (self.instances.get(key) for key in self._held)
        return [record for record in own if record is not None and is_watched(record)]

    def observe(self, key: str, record: Registration | None) -> bool:
        """Takes in what the log says of a key, in the order of the log; returns whether it is of itself."""
        is_own = key == self._own.registration_id
        if is_own:
            self._observe_own(record)
        elif record is None:
            self._observe_removal(key)
        elif record.registry == self.name:
            if key not in self._held:
                self._changes.setdefault(key, None)
        else:
            self._release(key)
            self._changes.pop(key, None)
            self.instances.put(record)
            self._peers.heard(record.registry)
        return is_own

    def presence(self, at_us: int) -> Registration:
        """The registration of this registry itself, now."""
        self._own = replace(self._own, updated_at_us=at_us)
        return self._own

    def take_changes(self) -> Changes:
        """What is to be written to the log; asked again, what has changed since."""
        changes, self._changes = self._changes, {}
        return changes

    def _observe_own(self, record: Registration | None) -> None:
        if record is None:
            return
        self._peers.said()
        for name in self._peers.gone():
            for left in [each for each in self.instances if each.registry == name]:
                self._remove(left.registration_id)
            self._peers.forget(name)
        self.instances.silence(self._peers.silent())

    def _observe_removal(self, key: str) -> None:
        if key in self._held:
            self._changes.setdefault(key, self.instances.get(key))
            return
        self.instances.remove(key)
        service, _, instance = key.partition("/")
        if service == REGISTRY_SERVICE:
            self._peers.left(instance)
            self.instances.silence(self._peers.silent())

    def _own_record(self, key: str) -> Registration:
        record = self.instances.get(key)
        if record is None:
            msg = f"there is no instance {key!r}; register it"
            raise NotRegistered(msg)
        if record.registry != self.name:
            home = self.instances.get(registration_id(REGISTRY_SERVICE, record.registry))
            where = f", at {home.endpoint}" if home is not None else ""
            msg = f"{key!r} keeps in touch with the registry {record.registry!r}{where}; tell it there"
            raise RegisteredElsewhere(msg)
        if key not in self._held:
            msg = f"{key!r} is a registry; it says itself how it is"
            raise InvalidInput(msg)
        return record

    def _hold(self, record: Registration, at_s: float) -> None:
        self._held.add(record.registration_id)
        if is_watched(record):
            self._leases.release(record.registration_id)
        else:
            self._leases.renew(record.registration_id, at_s)

    def _release(self, key: str) -> None:
        self._held.discard(key)
        self._leases.release(key)

    def _write(self, record: Registration) -> None:
        self.instances.put(record)
        self._changes[record.registration_id] = record

    def _remove(self, key: str) -> None:
        self.instances.remove(key)
        self._changes[key] = None


def is_watched(record: Registration) -> bool:
    """Whether its registry looks after it, so that it need not send heartbeats."""
    return record.pid is not None or bool(record.health_url)
