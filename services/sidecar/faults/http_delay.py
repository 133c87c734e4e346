"""http-delay: a share of the requests reaches the instance later."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import MAX_WAIT_US, Effect, Parameters, request_fault
from services.sidecar.framing import Head


@request_fault
class HttpDelay:
    """Holds a request back for `delay_us`; later ones on the same connection wait behind it.

    `endpoint` "" means every request; otherwise those whose path, without query, is that endpoint.
    """

    kind: ClassVar[str] = "http-delay"

    def __init__(self, *, delay_us: int, ratio: float, endpoint: str, chance: random.Random) -> None:
        self._delay_us = delay_us
        self._ratio = ratio
        self._endpoint = endpoint
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        delay_us = read.whole("delay_us", least=0, most=MAX_WAIT_US)
        ratio, endpoint = read.ratio(), read.endpoint()
        read.finish()
        return cls(delay_us=delay_us, ratio=ratio, endpoint=endpoint, chance=chance)

    def on_request(self, request: Head | None) -> Effect | None:
        if request is None or self._endpoint not in ("", request.endpoint):
            return None
        return Effect(hold_s=self._delay_us / 1e6) if self._chance.random() < self._ratio else None
