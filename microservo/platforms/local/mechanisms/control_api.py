"""The mechanism of faults that an instance or its sidecar makes itself, told over its control API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from microservo.domain.faults.base import Wire
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.mechanism import Confirmation, Owned, TargetInstance

# Filling some gibibytes of memory takes seconds; listing or ending a fault doesn't.
_APPLY_TIMEOUT_S = 5.0
_TIMEOUT_S = 3.0
_MAX_ANSWER_BYTES = 1_000_000
_REFUSED = frozenset({400, 404, 409, 422})


class ControlApi:
    """`Mechanism` over HTTP: the confirmation is the instant that the instance itself reports.

    Args:
        address: base address of the control API of an instance.
    """

    def __init__(self, address: Callable[[TargetInstance], str]) -> None:
        self._address = address

    def apply(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        kind, parameters = wire
        body = {"kind": kind, "parameters": dict(parameters)}
        path = _path(fault_id)
        answer = call(self._address(instance), "PUT", path, body=body, timeout_s=_APPLY_TIMEOUT_S)
        return _confirmation(answer, "applied_at_us")

    def recover(self, instance: TargetInstance, fault_id: str, wire: Wire) -> Confirmation:
        return self._end(instance, fault_id)

    def holds(self, instance: TargetInstance, fault_id: str, wire: Wire) -> bool:
        return fault_id in self._active(instance)

    def release_strangers(self, instance: TargetInstance, owned: Owned) -> list[str]:
        active = self._active(instance)
        strangers = sorted(active - owned().keys())
        for fault_id in strangers:
            self._end(instance, fault_id)
        return strangers

    def _end(self, instance: TargetInstance, fault_id: str) -> Confirmation:
        answer = call(self._address(instance), "DELETE", _path(fault_id), timeout_s=_TIMEOUT_S)
        return _confirmation(answer, "recovered_at_us")

    def _active(self, instance: TargetInstance) -> set[str]:
        answer = call(self._address(instance), "GET", "/faults", timeout_s=_TIMEOUT_S)
        try:
            return {fault["id"] for fault in answer["faults"]}
        except (KeyError, TypeError) as error:
            msg = f"{self._address(instance)}/faults answers {str(answer)[:200]}, expected a list of faults"
            raise Retryable(msg) from error


def call(
    address: str,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Any:
    """The JSON answer to one request, on a connection of its own and never through a proxy.

    Raises:
        InvalidInput: the other side refused; its reason is in the message.
        Retryable: no answer, or none that makes sense.
    """
    status, text = _exchange(address, method, path, body, timeout_s)
    if status in _REFUSED:
        msg = f"{method} {address}{path} was refused with {status}: {text[:500]}"
        raise InvalidInput(msg)
    try:
        if status == http.client.OK:
            return json.loads(text)
    except ValueError as error:
        msg = f"{method} {address}{path} answers {text[:200]!r}, expected JSON; trying again"
        raise Retryable(msg) from error
    msg = f"{method} {address}{path} answers {status}, expected 200; trying again"
    raise Retryable(msg)


def require_healthy(address: str, *, timeout_s: float) -> None:
    """Returns if `/healthz` answers 200; otherwise `Retryable`."""
    status, _ = _exchange(address, "GET", "/healthz", None, timeout_s)
    if status != http.client.OK:
        msg = f"{address}/healthz answers {status}, expected 200; waiting"
        raise Retryable(msg)


def _exchange(
    address: str, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
) -> tuple[int, str]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, body=data, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        msg = f"{method} {address}{path} got no answer ({error or type(error).__name__}); trying again"
        raise Retryable(msg) from error
    finally:
        connection.close()


def _path(fault_id: str) -> str:
    return f"/faults/{quote(fault_id, safe='')}"


def _confirmation(answer: Any, key: str) -> Confirmation:
    try:
        return Confirmation(at_us=int(answer[key]), evidence=str(answer.get("evidence", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"the control API answers {str(answer)[:200]}, expected {key}; trying again"
        raise Retryable(msg) from error
