"""Containers at the registry of their region: each is registered as long as it takes calls, and no longer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from microservo.client.registered import Registered
from microservo.client.registry import RegistryClient
from microservo.errors import MicroServoError, Retryable
from microservo.platforms.local.launched import Serving, TakingCalls
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.looking import Looking

LOOK_S = 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    container: TakingCalls
    registry: str
    registered: Registered


class Registrations:
    """Registers what takes calls, from a thread of its own; each with a heartbeat until it is taken out.

    A registry that is away is tried again at the next look. One that comes takes over the containers of its
    region, and those of one that goes are registered elsewhere.

    Args:
        taking_calls: gives the containers that take calls now.
        serving: gives the components of regions that are ready now.
        elsewhere: URL of the registry for regions without one; empty for none.
        token: that registries ask for.
    """

    def __init__(
        self,
        taking_calls: Callable[[], Sequence[TakingCalls]],
        serving: Callable[[], Sequence[Serving]],
        *,
        elsewhere: str,
        token: str,
    ) -> None:
        self._taking_calls = taking_calls
        self._serving = serving
        self._elsewhere = elsewhere
        self._token = token
        self._clients: dict[str, RegistryClient] = {}
        self._entries: dict[str, _Entry] = {}
        self._limit = LogLimit()
        self._looking: Looking | None = None

    def has(self, container: str) -> bool:
        """Whether a registry gives a container out."""
        return container in self._entries

    def look(self) -> None:
        """Looks once; that a registry does not answer, or refuses a container, is logged."""
        of_regions = {each.region: each.url for each in self._serving() if each.kind == "registry"}
        wanted = {
            each.id: (each, of_regions.get(each.region, self._elsewhere)) for each in self._taking_calls()
        }
        for name, entry in list(self._entries.items()):
            if wanted.get(name) != (entry.container, entry.registry):
                entry.registered.close()
                del self._entries[name]
        silent = {""}
        for name, (container, registry) in sorted(wanted.items()):
            if name in self._entries or registry in silent:
                continue
            try:
                self._entries[name] = _Entry(container, registry, self._registered(container, registry))
            except MicroServoError as error:
                if isinstance(error, Retryable):
                    # Others must not wait for each of its containers.
                    silent.add(registry)
                if (rest := self._limit.end_of_line(registry, type(error).__name__)) is not None:
                    _log.warning("%s is not registered: %s%s", name, error, rest)
        self._close_unused()

    def _registered(self, container: TakingCalls, registry: str) -> Registered:
        client = self._clients.get(registry)
        if client is None:
            client = self._clients[registry] = RegistryClient(registry, token=self._token)
        return client.register(
            container.service,
            container.url,
            instance=container.id,
            place=container.place,
            region=container.region,
            # A registry that this launcher runs sees the process, and notices its end by itself.
            pid=None if registry == self._elsewhere else container.pid,
        )

    def _close_unused(self) -> None:
        used = {entry.registry for entry in self._entries.values()}
        for registry in self._clients.keys() - used:
            self._clients.pop(registry).close()

    def close(self) -> None:
        """Takes all out."""
        if self._looking is not None:
            self._looking.close()
        while self._entries:
            self._entries.popitem()[1].registered.close()
        self._close_unused()

    def __enter__(self) -> Self:
        self._looking = Looking(self.look, LOOK_S, name="containers that take calls")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
