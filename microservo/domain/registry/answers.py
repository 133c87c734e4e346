"""Answers of a registry as its clients keep them: new ones are reused, old ones serve while it is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FRESH_S = 10.0
MOST_ANSWERS = 10_000


class Answer(NamedTuple, Generic[V]):
    """What was answered, and how many seconds ago."""

    value: V
    age_s: float


class Answers(Generic[K, V]):
    """The newest answer to each question, so many at the most.

    Args:
        fresh_s: for how many seconds the same question need not be asked again.
        most: questions; those that were answered longest ago are forgotten first.

    Example:
        >>> answers = Answers[str, int](fresh_s=10)
        >>> answers.keep("cart", 7, at_s=0.0)
        >>> answers.fresh("cart", at_s=9.0), answers.fresh("cart", at_s=11.0), answers.any("cart", at_s=11.0)
        (Answer(value=7, age_s=9.0), None, Answer(value=7, age_s=11.0))
    """

    def __init__(self, *, fresh_s: float = FRESH_S, most: int = MOST_ANSWERS) -> None:
        self._fresh_s = fresh_s
        self._most = most
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def keep(self, question: K, value: V, *, at_s: float) -> None:
        """Enters an answer in place of an older one."""
        self._kept[question] = (value, at_s)
        self._kept.move_to_end(question)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def fresh(self, question: K, *, at_s: float) -> Answer[V] | None:
        """An answer that need not be asked for again."""
        found = self.any(question, at_s=at_s)
        return found if found is not None and found.age_s < self._fresh_s else None

    def any(self, question: K, *, at_s: float) -> Answer[V] | None:
        """The last answer, however old."""
        kept = self._kept.get(question)
        return None if kept is None else Answer(kept[0], at_s - kept[1])

    def forget_where(self, is_wrong: Callable[[K], bool]) -> None:
        """Removes the answers to questions of which this holds."""
        for question in [each for each in self._kept if is_wrong(each)]:
            del self._kept[question]
