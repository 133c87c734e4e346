"""http-patch: a field of the instance's JSON answers has another value."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import AnswerEffect, Parameters, answer_fault
from services.sidecar.framing import Head


@answer_fault
class HttpPatch:
    """Sets a field of the object that is answered, as a merge patch does (RFC 7396): it is added if it lacks.

    `endpoint` "" means every request; otherwise those whose path, without query, is that endpoint.
    """

    kind: ClassVar[str] = "http-patch"

    def __init__(self, *, field: str, value: str, endpoint: str) -> None:
        self._patch = (field, value)
        self._endpoint = endpoint

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        field, value, endpoint = read.text("field"), read.text("value"), read.endpoint()
        read.finish()
        return cls(field=field, value=value, endpoint=endpoint)

    def on_answer(self, request: Head | None) -> AnswerEffect | None:
        if request is None or self._endpoint not in ("", request.endpoint):
            return None
        return AnswerEffect(patch=self._patch)
