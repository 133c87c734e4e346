"""What is due when."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Literal

Task = Literal["apply", "recover", "retry"]


class Schedule:
    """Tasks by their instant (epoch microseconds); of equal ones the first entered comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Task, str, str]] = []
        self._entered = count()

    def enter(self, at_us: int, task: Task, fault_id: str, instance: str = "") -> None:
        heapq.heappush(self._heap, (at_us, next(self._entered), task, fault_id, instance))

    def due(self, now_us: int) -> list[tuple[Task, str, str]]:
        """Takes out the tasks whose instant has come: task, fault id, instance."""
        found = []
        while self._heap and self._heap[0][0] <= now_us:
            _, _, task, fault_id, instance = heapq.heappop(self._heap)
            found.append((task, fault_id, instance))
        return found
