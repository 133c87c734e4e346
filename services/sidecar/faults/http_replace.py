"""http-replace: the instance's answers leave with another status."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from microservo.errors import InvalidInput
from services.sidecar.faults.base import AnswerEffect, Parameters, answer_fault
from services.sidecar.framing import Head

# RFC 9110: a caller reads no body after these, so what follows would be taken for the next answer.
_BODYLESS = (204, 304)


@answer_fault
class HttpReplace:
    """Rewrites the status line; the rest of the answer leaves as it came.

    `endpoint` "" means every request; otherwise those whose path, without query, is that endpoint.
    """

    kind: ClassVar[str] = "http-replace"

    def __init__(self, *, status: int, endpoint: str) -> None:
        self._status = status
        self._endpoint = endpoint

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        status, endpoint = read.whole("status", least=200, most=599), read.endpoint()
        read.finish()
        if status in _BODYLESS:
            message = f"{cls.kind}: an answer with status {status} has no body, and these have; give another"
            raise InvalidInput(message)
        return cls(status=status, endpoint=endpoint)

    def on_answer(self, request: Head | None) -> AnswerEffect | None:
        if request is None or self._endpoint not in ("", request.endpoint):
            return None
        return AnswerEffect(status=self._status)
