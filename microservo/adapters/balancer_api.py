"""The HTTP API of a load balancer, as its clients call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from microservo.adapters.json_api import JsonApi
from microservo.domain.balancing.documents import (
    BalancedServerDocument,
    BalancedServersDocument,
    BalancedServicesDocument,
    BalancerHealthDocument,
    ServersDocument,
)

TIMEOUT_S = 15.0
"""Longer than a balancer waits for its nginx."""


class BalancerApi:
    """Calls one balancer; may be used by several threads.

    Args:
        url: of its API, for example http://127.0.0.1:1906.
        token: what it asks for; empty for none.
        timeout_s: how long each step of an answer may take.

    Every call raises:
        InvalidInput: the balancer refuses what is asked.
        Retryable: it does not answer, or can't for now.
    """

    def __init__(self, url: str, token: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        self._api = JsonApi(url, token, kind="load balancer", timeout_s=timeout_s)

    def services(self) -> Mapping[str, Sequence[BalancedServerDocument]]:
        """The servers of all services."""
        return self._api.document(BalancedServicesDocument, self._api.call("GET", "/servers")).services

    def servers(self, service: str) -> Sequence[BalancedServerDocument]:
        """The servers of a service; none where it isn't known."""
        answer = self._api.call("GET", _servers(service), may_lack=True)
        return () if answer is None else self._api.document(BalancedServersDocument, answer).servers

    def add(self, service: str, servers: ServersDocument) -> Sequence[BalancedServerDocument]:
        """Adds servers; returns all of the service, once users reach them."""
        answer = self._api.call("POST", _servers(service), body=servers)
        return self._api.document(BalancedServersDocument, answer).servers

    def remove(self, service: str, server: str) -> bool:
        """Removes a server, once it gets no new requests; returns whether there was one."""
        path = f"{_servers(service)}/{quote(server, safe='')}"
        return self._api.call("DELETE", path, may_lack=True) is not None

    def health(self) -> BalancerHealthDocument:
        """Whether nginx serves what the balancer knows."""
        return self._api.document(BalancerHealthDocument, self._api.call("GET", "/healthz"))

    def close(self) -> None:
        """Closes its connections."""
        self._api.close()


def _servers(service: str) -> str:
    return f"/{quote(service, safe='')}/servers"
