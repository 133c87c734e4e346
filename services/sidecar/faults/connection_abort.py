"""connection-abort: each request over HTTP finds its connection closed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Effect, Parameters, request_fault
from services.sidecar.framing import Head


@request_fault
class ConnectionAbort:
    """Resets the connection in place of forwarding a request of HTTP; other streams pass.

    `endpoint` "" means every request; otherwise those whose path, without query, is that endpoint.
    """

    kind: ClassVar[str] = "connection-abort"

    def __init__(self, *, endpoint: str) -> None:
        self._endpoint = endpoint

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        endpoint = read.endpoint()
        read.finish()
        return cls(endpoint=endpoint)

    def on_request(self, request: Head | None) -> Effect | None:
        if request is None or self._endpoint not in ("", request.endpoint):
            return None
        return Effect(reset=True)
