"""The mechanism of faults that an instance or its sidecar makes itself, on a call of its control API."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from microservo.domain.faults.base import Wire
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import check_place
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.absent import absent, gone
from microservo.platforms.local.state import LocalInstance, TargetState
from microservo.platforms.mechanism import Confirmation, Owned

# Filling some gibibytes of memory takes seconds; listing or ending a fault doesn't.
_APPLY_TIMEOUT_S = 5.0
_TIMEOUT_S = 3.0
_MAX_ANSWER_BYTES = 1_000_000
Address = Callable[[TargetState, LocalInstance], str]
"""Gives the base address of the control API of an instance; empty where it has none."""

_REFUSED = frozenset({400, 401, 403, 404, 409, 413, 422})


class ControlApi:
    """`Mechanism` over HTTP: the confirmation is what the instance itself reports, by its own clock.

    Args:
        name: of the mechanism.
        address: base address of the control API of an instance.
        is_shared: it is the same for all instances, so that ids there are `FAULT@INSTANCE`.
        state: the target at this moment.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        state: Callable[[], TargetState],
        clock: Callable[[], int],
        *,
        is_shared: bool = False,
    ) -> None:
        self.name = name
        self._is_shared = is_shared
        self._address = address
        self._state = state
        self._clock = clock

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        self._check_place(instance, wire)
        api = self._find(instance)
        if api is None:
            raise absent(instance)
        kind, parameters = wire
        body = {"kind": kind, "parameters": dict(parameters)}
        path = self._path(instance, fault_id)
        answer = api.call("PUT", path, body=body, timeout_s=_APPLY_TIMEOUT_S)
        return confirmation_of(answer, "applied_at_us")

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        api = self._find(instance)
        return gone(self._clock()) if api is None else self._end(api, instance, fault_id)

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        api = self._find(instance)
        return api is not None and fault_id in self._active(api, instance)

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        api = self._find(instance)
        return None if api is None else self._active(api, instance).get(fault_id)

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        api = self._find(instance)
        if api is None:
            return []
        active = self._active(api, instance)
        unowned = sorted(active.keys() - owned().keys())
        for fault_id in unowned:
            self._end(api, instance, fault_id)
        return unowned

    def _check_place(self, instance: str, wire: Wire) -> None:
        state = self._state()
        found, kind = state.instance(instance), KINDS.get(wire[0])
        if found is not None and kind is not None:
            check_place(kind, wire[1], found.service, state.edges)

    def _find(self, instance: str) -> ControlClient | None:
        state = self._state()
        found = state.instance(instance)
        address = "" if found is None else self._address(state, found)
        return ControlClient(address, state.control_token) if address else None

    def _end(self, api: ControlClient, instance: str, fault_id: str) -> Confirmation:
        return confirmation_of(api.call("DELETE", self._path(instance, fault_id)), "recovered_at_us")

    def _active(self, api: ControlClient, instance: str) -> dict[str, int | None]:
        """What each fault in force on an instance has acted on so far, by id."""
        suffix = self._suffix(instance)
        found = _active(api).items()
        return {name.removesuffix(suffix): acted for name, acted in found if name.endswith(suffix)}

    def _path(self, instance: str, fault_id: str) -> str:
        return f"/faults/{quote(fault_id + self._suffix(instance), safe='')}"

    def _suffix(self, instance: str) -> str:
        return f"@{instance}" if self._is_shared else ""


class ControlClient:
    """Calls one control API, each time on a connection of its own and never through a proxy.

    Args:
        address: scheme, host and port.
        token: what the API asks for.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token

    def call(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, timeout_s: float = _TIMEOUT_S
    ) -> Any:
        """The JSON answer to one request.

        Raises:
            InvalidInput: the other side refused; its reason is in the message.
            Retryable: no answer, or none that makes sense.
        """
        status, text = self.exchange(method, path, body, timeout_s)
        what = f"{method} {self._address}{path}"
        if status in _REFUSED:
            msg = f"{what} was refused with {status}: {text[:500]}"
            raise InvalidInput(msg)
        try:
            if status == http.client.OK:
                return json.loads(text)
        except ValueError as error:
            msg = f"{what} answers {text[:200]!r}, expected JSON; trying again"
            raise Retryable(msg) from error
        msg = f"{what} answers {status}, expected 200; trying again"
        raise Retryable(msg)

    def exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
    ) -> tuple[int, str]:
        """The status and the text of one answer, for who makes something else of a status than `call`.

        Raises:
            Retryable: no answer.
        """
        parts = urlsplit(self._address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            reason = error or type(error).__name__
            msg = f"{method} {self._address}{path} got no answer ({reason}); trying again"
            raise Retryable(msg) from error
        finally:
            connection.close()


def _active(api: ControlClient) -> dict[str, int | None]:
    """What each fault in force has acted on so far, by id."""
    answer = api.call("GET", "/faults")
    try:
        return {fault["id"]: _whole(fault["acted"]) for fault in answer["faults"]}
    except (KeyError, TypeError, ValueError) as error:
        msg = f"GET /faults answers {str(answer)[:200]}, expected a list of faults; trying again"
        raise Retryable(msg) from error


def confirmation_of(answer: Any, key: str) -> Confirmation:
    """What an answer says, its instant under `key`; `Retryable` where it makes no sense."""
    try:
        return Confirmation(
            at_us=int(answer[key]),
            evidence=str(answer["evidence"]),
            within_us=_whole(answer["within_us"]),
            acted=_whole(answer["acted"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"the control API answers {str(answer)[:200]}, expected {key}; trying again"
        raise Retryable(msg) from error


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
