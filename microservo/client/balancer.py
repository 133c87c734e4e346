"""The servers of a load balancer, from Python.

Example::

    from microservo import BalancerClient

    with BalancerClient("http://127.0.0.1:1906") as balancer:
        balancer.add("cart", "127.0.0.1:9000", health_path="/healthz")  # users reach it now
        balancer.remove("cart", "127.0.0.1:9000")  # it gets no new requests now
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from microservo.application.balancer import TIMEOUT_S, BalancerApi
from microservo.domain.balancing.documents import (
    BalancedServerDocument,
    BalancerHealthDocument,
    ServerDocument,
    ServersDocument,
)
from microservo.domain.documents import problem
from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput


class BalancerClient:
    """Says to a load balancer which servers services have; may be used by several threads.

    Args:
        url: of its API.
        token: what it asks for; empty for none.
        timeout_s: how long each step of an answer may take; changes are answered once nginx serves them.

    Every call raises:
        InvalidInput: something can't be, or the balancer refuses it.
        Retryable: it does not answer, or nginx does not serve a change in time, which is kept all the same.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._api = BalancerApi(url, token, timeout_s=timeout_s)

    def services(self) -> Mapping[str, Sequence[BalancedServerDocument]]:
        """The servers of all services, with their states."""
        return self._api.services()

    def servers(self, service: str) -> Sequence[BalancedServerDocument]:
        """The servers of a service, with their states; none where it isn't known."""
        return self._api.servers(service)

    def add(
        self,
        service: str,
        server: str,
        *,
        place: Coordinates | None = None,
        region: str | None = None,
        health_path: str | None = None,
    ) -> Sequence[BalancedServerDocument]:
        """Adds a server, or enters what is new of it; returns all of the service, once users reach it.

        Args:
            service: its name.
            server: IP address and port; IPv6 in [].
            place: where it runs.
            region: likewise.
            health_path: what is asked each second, where 200 is healthy; else whether it takes connections.
        """
        try:
            document = ServerDocument(
                server=server,
                latitude=place.latitude if place else None,
                longitude=place.longitude if place else None,
                region=region,
                health_path=health_path,
            )
        except ValidationError as error:
            raise InvalidInput(problem(error)) from error
        return self._api.add(service, ServersDocument([document]))

    def remove(self, service: str, server: str) -> bool:
        """Removes a server, once it gets no new requests; returns whether there was one."""
        return self._api.remove(service, server)

    def health(self) -> BalancerHealthDocument:
        """Whether nginx serves what the balancer knows."""
        return self._api.health()

    def close(self) -> None:
        """Closes its connections."""
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
