"""slow-close: the end of each answer and of each connection comes late."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import MAX_WAIT_US, AnswerEffect, Parameters, answer_fault
from services.sidecar.framing import Head


@answer_fault
class SlowClose:
    """Holds back the last byte of an answer, and the FIN of a connection, for `delay_us`.

    So callers have the beginning of an answer in time, and still wait for it.
    """

    kind: ClassVar[str] = "slow-close"

    def __init__(self, *, delay_us: int) -> None:
        self._delay_s = delay_us / 1e6

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        delay_us = read.whole("delay_us", least=0, most=MAX_WAIT_US)
        read.finish()
        return cls(delay_us=delay_us)

    def on_answer(self, request: Head | None) -> AnswerEffect | None:
        return AnswerEffect(hold_end_s=self._delay_s)
