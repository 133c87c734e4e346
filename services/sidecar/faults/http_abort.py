"""http-abort: a share of the requests is answered with an error status, and never reaches the instance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Effect, Parameters, request_fault
from services.sidecar.framing import Head


@request_fault
class HttpAbort:
    """Swallows the whole request and answers `status` (400-599); the connection stays usable.

    `endpoint` "" means every request; otherwise those whose path, without query, is that endpoint.
    """

    kind: ClassVar[str] = "http-abort"

    def __init__(self, *, status: int, ratio: float, endpoint: str, chance: random.Random) -> None:
        self._status = status
        self._ratio = ratio
        self._endpoint = endpoint
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        status = read.whole("status", least=400, most=599)
        ratio, endpoint = read.ratio(), read.endpoint()
        read.finish()
        return cls(status=status, ratio=ratio, endpoint=endpoint, chance=chance)

    def on_request(self, request: Head | None) -> Effect | None:
        if request is None or self._endpoint not in ("", request.endpoint):
            return None
        return Effect(abort_status=self._status) if self._chance.random() < self._ratio else None
