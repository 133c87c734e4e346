"""What was asked for of one task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from schemas.records import EvaluationAction, EvaluationRequest

Wanted = Literal["run", "pause", "interrupt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What all requests of a task come to.

    Attributes:
        round: how often it was asked for: 1, and one more with each rerun.
        request: the one that began the round.
        wanted: what shall become of the round.
        first_at_us: when the task was asked for first.
    """

    round: int
    request: EvaluationRequest
    wanted: Wanted
    first_at_us: int

    @property
    def due_us(self) -> int:
        """When it may begin."""
        start_us = self.request.start_at_us
        return self.request.requested_at_us if start_us is None else start_us


_CHANGES: dict[tuple[Wanted, EvaluationAction], Wanted] = {
    ("run", "pause"): "pause",
    ("pause", "resume"): "run",
    ("run", "interrupt"): "interrupt",
    ("pause", "interrupt"): "interrupt",
}
"""All others change nothing: what is interrupted goes on by a rerun alone."""


def after(wish: Wish | None, request: EvaluationRequest) -> Wish | None:
    """The wish with one more request, in the order of the log; None before the task is asked for."""
    if wish is None:
        if request.action not in ("evaluate", "rerun"):
            return None
        return Wish(round=1, request=request, wanted="run", first_at_us=request.requested_at_us)
    if request.action == "rerun":
        return replace(wish, round=wish.round + 1, request=request, wanted="run")
    wanted = _CHANGES.get((wish.wanted, request.action), wish.wanted)
    return wish if wanted == wish.wanted else replace(wish, wanted=wanted)
