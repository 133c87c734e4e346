"""Containers at the balancers of regions: each balancer has those that are nearest to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from microservo.application.balancer import BalancerApi
from microservo.domain.balancing.documents import ServerDocument, ServersDocument
from microservo.domain.geography import distance_m
from microservo.errors import MicroServoError
from microservo.platforms.local.launched import Serving, TakingCalls
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.looking import Looking

LOOK_S = 0.1
_log = logging.getLogger(__name__)


def servers_of(balancer: Serving, containers: Sequence[TakingCalls]) -> dict[str, list[TakingCalls]]:
    """The servers of a balancer: of each service those in its region, or else in the region of the nearest.

    Args:
        balancer: which one.
        containers: that take calls, of all regions.
    """
    by_service: dict[str, list[TakingCalls]] = {}
    for each in containers:
        by_service.setdefault(each.service, []).append(each)
    found: dict[str, list[TakingCalls]] = {}
    for service, replicas in by_service.items():
        nearest = min(
            replicas,
            key=lambda each: (
                each.region != balancer.region,
                distance_m(balancer.place, each.place),
                each.id,
            ),
        )
        found[service] = [each for each in replicas if each.region == nearest.region]
    return found


class BalancedServers:
    """Tells balancers of their servers, from a thread of its own.

    What a balancer has is read from itself, so that one that was started anew gets its servers again.

    Args:
        taking_calls: gives the containers that take calls now.
        serving: gives the components of regions that are ready now.
        token: that balancers ask for.
    """

    def __init__(
        self,
        taking_calls: Callable[[], Sequence[TakingCalls]],
        serving: Callable[[], Sequence[Serving]],
        *,
        token: str,
    ) -> None:
        self._taking_calls = taking_calls
        self._serving = serving
        self._token = token
        self._apis: dict[str, BalancerApi] = {}
        self._told: dict[str, dict[str, dict[str, str]]] = {}
        """Ids of containers by balancer, service and address."""
        self._lock = threading.Lock()
        """Held for moments, around what changes `_told`."""
        self._limit = LogLimit()
        self._looking: Looking | None = None

    def has(self, container: str) -> bool:
        """Whether a balancer sends requests to a container."""
        with self._lock:
            return any(
                container in servers.values()
                for services in self._told.values()
                for servers in services.values()
            )

    def look(self) -> None:
        """Looks once; that a balancer does not answer, is late or refuses a server is logged."""
        balancers = [each for each in self._serving() if each.kind == "load-balancer"]
        self._forget({each.url for each in balancers})
        containers = self._taking_calls()
        for balancer in balancers:
            try:
                self._bring_up_to_date(balancer.url, servers_of(balancer, containers))
            except MicroServoError as error:
                if (rest := self._limit.end_of_line(balancer.id, type(error).__name__)) is not None:
                    _log.warning("%s is not up to date: %s%s", balancer.id, error, rest)

    def _bring_up_to_date(self, url: str, wanted: Mapping[str, Sequence[TakingCalls]]) -> None:
        api = self._apis.setdefault(url, BalancerApi(url, self._token))
        if url not in self._told:
            there = {name: {each.server: "" for each in servers} for name, servers in api.services().items()}
            with self._lock:
                self._told[url] = there
        told = self._told[url]
        try:
            # First those that come, so that a service that moves has servers all the time.
            for service, containers in wanted.items():
                with self._lock:
                    known = told.setdefault(service, {})
                self._add(api, known, service, containers)
            for service in list(told):
                staying = {_address(each) for each in wanted.get(service, ())}
                for address in told[service].keys() - staying:
                    api.remove(service, address)
                    with self._lock:
                        del told[service][address]
        except MicroServoError:
            # Some of it may have been done; the next look asks what there is.
            with self._lock:
                del self._told[url]
            raise

    def _add(
        self, api: BalancerApi, known: dict[str, str], service: str, containers: Sequence[TakingCalls]
    ) -> None:
        new = [each for each in containers if known.get(_address(each)) != each.id]
        if not new:
            return
        with self._lock:
            # From now on they may get requests.
            known.update({_address(each): each.id for each in new})
        api.add(service, ServersDocument([_document(each) for each in new]))

    def _forget(self, balancers: set[str]) -> None:
        for url in self._apis.keys() - balancers:
            self._apis.pop(url).close()
            with self._lock:
                self._told.pop(url, None)

    def close(self) -> None:
        """Tells no more."""
        if self._looking is not None:
            self._looking.close()
        self._forget(set())

    def __enter__(self) -> Self:
        self._looking = Looking(self.look, LOOK_S, name="servers of balancers")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _address(container: TakingCalls) -> str:
    return container.url.removeprefix("http://")


def _document(container: TakingCalls) -> ServerDocument:
    return ServerDocument(
        server=_address(container),
        latitude=container.place.latitude,
        longitude=container.place.longitude,
        region=container.region,
    )
