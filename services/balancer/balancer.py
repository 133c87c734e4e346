"""A load balancer as its threads share it: requests on one, health checks on another, nginx on a third."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from microservo.adapters.files import write_whole
from microservo.domain.balancing.configuration import Upstream
from microservo.domain.balancing.documents import (
    MOST_SERVERS,
    BalancedServerDocument,
    ServerDocument,
)
from microservo.domain.documents import problem
from microservo.domain.registry.documents import Name
from microservo.errors import InvalidInput, Retryable, Unavailable

logger = logging.getLogger(__name__)

SERVED_WITHIN_S = 10.0
MOST_SERVICES = 500
_STATE = TypeAdapter(dict[Name, list[ServerDocument]])


class NoSuchServer(InvalidInput):
    """There is no such service or server; add it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What nginx shall serve.

    Attributes:
        generation: a later one has a larger number.
        services: servers by service.
    """

    generation: int
    services: Mapping[str, Sequence[Upstream]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A server that is asked how it is, on behalf of one of its services."""

    service: str
    address: str
    health_path: str | None


class Balancer:
    """The servers of all services, with one lock around them.

    Args:
        state: file in which they are kept; read here.
        own_address: where it listens itself; a request sent there would go round for ever.
        version: of its nginx.

    Raises:
        Unavailable: the file can't be used.
    """

    def __init__(self, state: Path, *, own_address: str, version: str) -> None:
        self.version = version
        self._state = state
        self._own_address = own_address
        self._changed = threading.Condition()
        self._services = _read(state)
        self._down: set[tuple[str, str]] = set()
        self._generation = 1
        self._served = 0
        self._failure = "nginx has not started yet"

    @property
    def served(self) -> int:
        """The generation that nginx serves; 0 before the first."""
        with self._changed:
            return self._served

    @property
    def is_behind(self) -> bool:
        """Whether nginx does not serve yet what is known here."""
        with self._changed:
            return self._served < self._generation

    def services(self) -> dict[str, list[BalancedServerDocument]]:
        """The servers of all services."""
        with self._changed:
            return {service: self._documents(service) for service in sorted(self._services)}

    def servers(self, service: str) -> list[BalancedServerDocument]:
        """The servers of a service.

        Raises:
            NoSuchServer: it has none.
        """
        with self._changed:
            self._known(service)
            return self._documents(service)

    def put(self, service: str, servers: Sequence[ServerDocument]) -> list[BalancedServerDocument]:
        """Adds servers, or enters what is new of them; returns once nginx serves that.

        Raises:
            InvalidInput: there are too many, or one is the balancer itself.
            Retryable: it is kept, but not served in time; or it can't be kept.
        """
        if any(each.server == self._own_address for each in servers):
            msg = f"{self._own_address} is this balancer itself; give the address of a server behind it"
            raise InvalidInput(msg)
        with self._changed:
            changed = {name: dict(each) for name, each in self._services.items()}
            changed.setdefault(service, {}).update((each.server, each) for each in servers)
            _refuse_too_many(changed)
            # Whoever says the same again and again shall not reload nginx again and again.
            if changed != self._services:
                self._keep(changed)
                # Asked before long: until then it is taken at its word.
                self._down -= {(service, each.server) for each in servers}
            self._wait_served(self._generation)
            return self._documents(service) if service in self._services else []

    def remove(self, service: str, address: str) -> None:
        """Removes a server; returns once nginx sends it no new requests.

        Raises:
            NoSuchServer: there is none.
            Retryable: as of `put`.
        """
        with self._changed:
            if address not in self._known(service):
                msg = f"{address} is no server of {service!r}; it has {', '.join(self._services[service])}"
                raise NoSuchServer(msg)
            left = {key: each for key, each in self._services[service].items() if key != address}
            changed = {**self._services, service: left}
            self._keep({name: each for name, each in changed.items() if each})
            self._down.discard((service, address))
            self._wait_served(self._generation)

    def judge(self, watched: Watched, *, is_up: bool) -> None:
        """Enters how a server is; one that was removed meanwhile is passed over."""
        key = (watched.service, watched.address)
        with self._changed:
            if watched.address not in self._services.get(watched.service, {}):
                return
            if is_up != (key in self._down):
                return
            self._down ^= {key}
            self._generation += 1
            self._changed.notify_all()
        logger.info("%s of %s is %s", watched.address, watched.service, "up again" if is_up else "down")

    def watched(self) -> list[Watched]:
        """The servers to be asked how they are."""
        with self._changed:
            return [
                Watched(service=service, address=address, health_path=each.health_path)
                for service, servers in self._services.items()
                for address, each in servers.items()
            ]

    def wanted(self) -> Wanted:
        """What nginx shall serve."""
        with self._changed:
            return self._wanted()

    def wait_wanted(self, timeout_s: float) -> Wanted | None:
        """What nginx shall serve as soon as it does not yet; None after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._served < self._generation, timeout_s)
            return self._wanted() if self._served < self._generation else None

    def tell_served(self, generation: int) -> None:
        """Enters what nginx serves now."""
        with self._changed:
            self._served = generation
            self._changed.notify_all()

    def tell_failure(self, reason: str) -> None:
        """Enters why nginx does not serve what it shall."""
        with self._changed:
            self._failure = reason

    def _wanted(self) -> Wanted:
        return Wanted(
            generation=self._generation,
            services={
                service: [
                    Upstream(address=address, is_up=(service, address) not in self._down)
                    for address in sorted(servers)
                ]
                for service, servers in self._services.items()
            },
        )

    def _known(self, service: str) -> dict[str, ServerDocument]:
        if service not in self._services:
            msg = f"{service!r} has no servers here; add one"
            raise NoSuchServer(msg)
        return self._services[service]

    def _documents(self, service: str) -> list[BalancedServerDocument]:
        return [
            BalancedServerDocument(
                **each.model_dump(), state="down" if (service, address) in self._down else "up"
            )
            for address, each in sorted(self._services[service].items())
        ]

    def _keep(self, services: dict[str, dict[str, ServerDocument]]) -> None:
        """Durable first, so that a restart knows at least what was answered for."""
        document = {name: list(each.values()) for name, each in services.items()}
        try:
            write_whole(self._state, _STATE.dump_json(document, exclude_none=True, indent=1))
        except OSError as error:
            msg = f"{self._state} can't be written ({error.strerror or error}), so nothing was changed"
            raise Retryable(msg) from error
        self._services = services
        self._generation += 1
        self._changed.notify_all()

    def _wait_served(self, generation: int) -> None:
        if not self._changed.wait_for(lambda: self._served >= generation, SERVED_WITHIN_S):
            msg = f"it is kept, but nginx does not serve it within {SERVED_WITHIN_S:g} s: {self._failure}"
            raise Retryable(msg)


def _refuse_too_many(services: Mapping[str, Mapping[str, ServerDocument]]) -> None:
    servers = sum(len(each) for each in services.values())
    if servers > MOST_SERVERS or len(services) > MOST_SERVICES:
        msg = f"a balancer has up to {MOST_SERVERS} servers of up to {MOST_SERVICES} services; remove some"
        raise InvalidInput(msg)


def _read(state: Path) -> dict[str, dict[str, ServerDocument]]:
    way_out = "mend it, or delete it and add the servers again"
    try:
        found = _STATE.validate_json(state.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        msg = f"{state} can't be read ({error.strerror}); {way_out}"
        raise Unavailable(msg) from error
    except ValidationError as error:
        msg = f"{state} has no servers that can be used ({problem(error)}); {way_out}"
        raise Unavailable(msg) from error
    return {service: {each.server: each for each in servers} for service, servers in found.items()}
