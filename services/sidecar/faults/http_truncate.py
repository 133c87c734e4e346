"""http-truncate: a share of the answers ends before it is complete."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import AnswerEffect, Parameters, answer_fault
from services.sidecar.framing import Head

MAX_AFTER_BYTES = 2**20


@answer_fault
class HttpTruncate:
    """Lets `after_bytes` of the body pass and closes the connection, as an instance that gives up would.

    The head has promised more, so a caller sees that the answer is not complete. One that is not longer than
    that is left alone.
    """

    kind: ClassVar[str] = "http-truncate"

    def __init__(self, *, after_bytes: int, ratio: float, chance: random.Random) -> None:
        self._after_bytes = after_bytes
        self._ratio = ratio
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        after_bytes, ratio = read.whole("after_bytes", least=0, most=MAX_AFTER_BYTES), read.ratio()
        read.finish()
        return cls(after_bytes=after_bytes, ratio=ratio, chance=chance)

    def on_answer(self, request: Head | None) -> AnswerEffect | None:
        if request is None or self._chance.random() >= self._ratio:
            return None
        return AnswerEffect(after_bytes=self._after_bytes)
