"""Containers at a registry: each is registered as long as it takes calls, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from microservo.client.registered import Registered
from microservo.client.registry import RegistryClient
from microservo.domain.geography import Coordinates
from microservo.errors import Retryable
from microservo.runtime.looking import Looking

LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TakingCalls:
    """A container that callers may be given.

    Attributes:
        endpoint: URL of its sidecar.
        pid: of its process; the registry notices its end by itself.
        place: of its host, as is `region`; an empty region is the one with the nearest centre.
    """

    service: str
    endpoint: str
    pid: int | None
    place: Coordinates
    region: str


class Registrations:
    """Registers what takes calls with a registry, from a thread of its own.

    A registry that is away is tried again at the next look.

    Args:
        taking_calls: gives the containers that take calls now, by id.
        registry: that knows them.
    """

    def __init__(
        self, taking_calls: Callable[[], Mapping[str, TakingCalls]], registry: RegistryClient
    ) -> None:
        self._taking_calls = taking_calls
        self._registry = registry
        self._registered: dict[str, Registered] = {}
        self._looking: Looking | None = None

    def start(self) -> None:
        """Begins to look again and again."""
        self._looking = Looking(self.look, LOOK_S, name="containers that take calls")

    def look(self) -> None:
        """Looks once.

        Raises:
            InvalidInput: the registry refuses a container.
            Retryable: it does not answer.
        """
        now = self._taking_calls()
        for name in self._registered.keys() - now.keys():
            self._registered.pop(name).close()
        failed: Retryable | None = None
        for name in sorted(now.keys() - self._registered.keys()):
            try:
                self._registered[name] = self._register(name, now[name])
            except Retryable as error:
                failed = error
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Deregisters all."""
        if self._looking is not None:
            self._looking.close()
        while self._registered:
            self._registered.popitem()[1].close()

    def _register(self, name: str, container: TakingCalls) -> Registered:
        return self._registry.register(
            container.service,
            container.endpoint,
            instance=name,
            place=container.place,
            region=container.region or None,
            pid=container.pid,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
