"""Where tasks stand, by all that lies on the topics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from microservo.domain.evaluation_tasks.attempts import ENDED, is_held, takes_over
from microservo.domain.evaluation_tasks.wish import Wish, after
from schemas.records import EvaluationRequest, EvaluationTask

TaskState = Literal["scheduled", "waiting", "running", "paused", "interrupted", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task.

    Attributes:
        task_id: its identity.
        wish: what was asked for.
        attempt: the one that counts, which may be of an earlier round; None before the first.
    """

    task_id: str
    wish: Wish
    attempt: EvaluationTask | None = None

    @property
    def current(self) -> EvaluationTask | None:
        """The attempt that counts, if it is of this round, or of one whose request was not read yet."""
        if self.attempt is None or self.attempt.round < self.wish.round:
            return None
        return self.attempt

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it but by a rerun."""
        return self.current is not None and self.current.state in ENDED

    def state(self, now_us: int) -> TaskState:
        """Where it stands; `now_us` is a reading of the clock, in microseconds UTC."""
        attempt = self.current
        match attempt.state if attempt is not None else "released":
            case "interrupted" | "done" | "failed" as ended:
                return ended
            case "running" | "paused" as worked_on if attempt is not None and is_held(attempt, now_us):
                return worked_on
        if self.wish.wanted != "run":
            return "paused" if self.wish.wanted == "pause" else "interrupted"
        return "scheduled" if now_us < self.wish.due_us else "waiting"


class Tasks:
    """All tasks; give it records of each topic in the order of its log."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wish] = {}
        self._attempts: dict[str, EvaluationTask] = {}

    def add(self, record: EvaluationRequest | EvaluationTask) -> None:
        """Gathers one record; what changes nothing is passed over."""
        task_id = record.task_id
        if isinstance(record, EvaluationRequest):
            if (wish := after(self._wishes.get(task_id), record)) is not None:
                self._wishes[task_id] = wish
        elif takes_over(record, self._attempts.get(task_id)):
            self._attempts[task_id] = record

    def get(self, task_id: str) -> Task | None:
        """The task of this id; None where it was never asked for."""
        wish = self._wishes.get(task_id)
        if wish is None:
            return None
        return Task(task_id=task_id, wish=wish, attempt=self._attempts.get(task_id))

    def __iter__(self) -> Iterator[Task]:
        """All tasks, those that were due first before others."""
        for task_id in sorted(self._wishes, key=lambda each: (self._wishes[each].due_us, each)):
            task = self.get(task_id)
            assert task is not None
            yield task
