"""The fault control API: a request in, an answer out, no sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from microservo.errors import InvalidInput
from services.sidecar.fault_set import ActiveFault, OtherFaultError
from services.sidecar.metrics import render
from services.sidecar.proxy import Proxy


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: str
    content_type: str = "application/json"


class Handlers:
    """Routes of the admin port; `PUT` and `DELETE` of a fault are idempotent."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._pages: dict[str, Callable[[], Answer]] = {
            "/faults": self._list,
            "/healthz": lambda: _json(200, {"status": "ok"}),
            "/metrics": lambda: Answer(200, render(proxy), "text/plain; version=0.0.4; charset=utf-8"),
        }

    def handle(self, method: str, path: str, body: bytes) -> Answer:
        """The answer to any request."""
        if path.startswith("/faults/"):
            return self._fault(method, unquote(path.removeprefix("/faults/")), body)
        page = self._pages.get(path)
        if page is None:
            return _error(
                404, f"there is no {path!r} here; there are {', '.join(self._pages)} and /faults/ID"
            )
        return page() if method == "GET" else _error(405, f"{path} answers GET only, not {method}")

    def _fault(self, method: str, fault_id: str, body: bytes) -> Answer:
        try:
            if method == "PUT":
                return self._apply(fault_id, body)
            if method == "DELETE":
                return self._recover(fault_id)
        except InvalidInput as error:
            return _error(422, str(error))
        except OtherFaultError as error:
            return _error(409, str(error))
        return _error(405, f"a fault is applied by PUT and ended by DELETE, not {method}")

    def _apply(self, fault_id: str, body: bytes) -> Answer:
        kind, parameters = _parse(fault_id, body)
        active = self._proxy.apply(fault_id, kind, parameters)
        evidence = f"in force on the listener and {self._proxy.open_connections} open connections"
        return _json(200, {"applied_at_us": active.applied_at_us, "evidence": evidence})

    def _recover(self, fault_id: str) -> Answer:
        ended, recovered_at_us = self._proxy.recover(fault_id)
        evidence = "was not active" if ended is None else _account(ended)
        return _json(200, {"recovered_at_us": recovered_at_us, "evidence": evidence})

    def _list(self) -> Answer:
        faults = [
            {"id": f.id, "kind": f.kind, "parameters": f.parameters, "applied_at_us": f.applied_at_us}
            for f in self._proxy.faults
        ]
        return _json(200, {"faults": faults})


def _account(ended: ActiveFault) -> str:
    what = "segments" if ended.kind.startswith("network-") else "requests or connections"
    return f"{ended.kind} acted on {ended.hits} {what}; what it held back has been sent on"


def _parse(fault_id: str, body: bytes) -> tuple[str, Mapping[str, object]]:
    try:
        given = json.loads(body)
    except ValueError as error:
        message = f"fault {fault_id!r}: the body is not JSON ({error})"
        raise InvalidInput(message) from error
    kind = given.get("kind") if isinstance(given, dict) else None
    parameters = given.get("parameters") if isinstance(given, dict) else None
    if not fault_id or not isinstance(kind, str) or not isinstance(parameters, dict):
        message = f'fault {fault_id!r}: expected PUT /faults/ID with {{"kind": "...", "parameters": {{...}}}}'
        raise InvalidInput(message)
    return kind, parameters


def _error(status: int, message: str) -> Answer:
    return _json(status, {"error": message})


def _json(status: int, value: Mapping[str, object]) -> Answer:
    return Answer(status, json.dumps(value))
