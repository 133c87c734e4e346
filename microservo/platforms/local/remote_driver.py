"""The driver of containers that another process of this machine owns (decision 21)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter, ValidationError

from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.platforms.driver import ContainerPlan, ContainerSeen, HostPlan, HostSeen
from microservo.platforms.local.driver_api import (
    CONTAINER,
    CONTAINER_PLAN,
    CONTAINERS,
    HOST_PLAN,
    HOSTS,
    STOPPED,
)
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.token import VARIABLE

Answer = TypeVar("Answer")
LAUNCHER_URL = "MICROSERVO_LAUNCHER_URL"
"""Where a launcher answers, as http://127.0.0.1:7070."""
_TIMEOUT_S = 30.0
"""For an answer: processes are started before it, and after SIGTERM a process gets 5 s."""
_REFUSED = frozenset({400, 401, 403, 404, 405, 413, 422})


class RemoteDriver:
    """`Driver` over the interface of `microservo.platforms.local.driver_api`.

    Args:
        url: of the process that owns the containers, e.g. http://127.0.0.1:7070.
        token: what it asks for.
        managed_by: the manager's tag.
    """

    def __init__(self, url: str, token: str, *, managed_by: str) -> None:
        self._client = ControlClient(url, token)
        self._query = {"managed_by": managed_by}

    def start_host(self, plan: HostPlan) -> None:
        self._ask("PUT", _path("hosts", plan.name), HOST_PLAN.dump_python(plan, mode="json"))

    def stop_host(self, name: str) -> None:
        self._ask("DELETE", _path("hosts", name))

    def hosts(self) -> Sequence[HostSeen]:
        return _parsed(HOSTS, self._ask("GET", "/hosts"))

    def launch(self, plan: ContainerPlan) -> ContainerSeen:
        path = f"{_path('containers', plan.id)}?{urlencode(self._query)}"
        return _parsed(CONTAINER, self._ask("PUT", path, CONTAINER_PLAN.dump_python(plan, mode="json")))

    def stop(self, container_id: str, drain_s: float) -> int | None:
        query = urlencode({**self._query, "drain_s": drain_s})
        path = f"{_path('containers', container_id)}?{query}"
        return _parsed(STOPPED, self._ask("DELETE", path, timeout_s=_TIMEOUT_S + drain_s)).requests_lost

    def containers(self) -> Sequence[ContainerSeen]:
        return _parsed(CONTAINERS, self._ask("GET", f"/containers?{urlencode(self._query)}"))

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = _TIMEOUT_S
    ) -> str:
        status, text = self._client.exchange(method, path, body, timeout_s)
        msg = f"{method} {path} is answered with {status}: {text[:500]}"
        if status in _REFUSED:
            raise InvalidInput(msg)
        if status == 503:
            raise Unavailable(msg)
        if status != 200:
            raise Retryable(msg)
        return text


def from_environment(managed_by: str) -> RemoteDriver:
    """The driver of the launcher that the environment names, for a manager's `manager_driver`.

    Args:
        managed_by: the managers' tag.

    Raises:
        InvalidInput: no launcher is named, or not its token.
    """
    url, token = os.environ.get(LAUNCHER_URL, ""), os.environ.get(VARIABLE, "")
    if not url or not token:
        missing = VARIABLE if url else LAUNCHER_URL
        msg = f"{missing} is not set; give the address of a launcher and its token (docs/target.md)"
        raise InvalidInput(msg)
    return RemoteDriver(url, token, managed_by=managed_by)


MANAGER_DRIVER = f"{__name__}:{from_environment.__name__}"
"""How a manager's `manager_driver` names it."""


def _path(what: str, name: str) -> str:
    if not name:
        msg = f"one of the {what} has no name; give it one"
        raise InvalidInput(msg)
    return f"/{what}/{quote(name, safe='')}"


def _parsed(of: TypeAdapter[Answer], text: str) -> Answer:
    try:
        return of.validate_json(text)
    except ValidationError as error:
        msg = f"the launcher answers {text[:200]!r}, which is not what was asked for; trying again"
        raise Retryable(msg) from error
