"""The labels of a part of a recording: each once, and those that its run can hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from microservo.datasets.imports.importer import ForeignFault, Notes
from microservo.datasets.imports.span_of_time import SpanOfTime


class Labels:
    """Collects labels.

    Args:
        asked: the part of the recording that is asked for.
    """

    def __init__(self, asked: SpanOfTime) -> None:
        self._asked = asked
        self._all: list[ForeignFault] = []
        self._kept: tuple[ForeignFault, ...] = ()
        self._may_be_in_force = False

    def add(self, fault: ForeignFault) -> None:
        """Adds one."""
        self._all.append(fault)

    def within(self, from_us: int, until_us: int, notes: Notes) -> tuple[ForeignFault, ...]:
        """Those of a run, in order of time.

        Args:
            from_us: where it begins, microseconds UTC.
            until_us: where it ends.
            notes: gets what became of the others.
        """
        found = (self._of_run(each, from_us, until_us, notes) for each in self._distinct(notes))
        self._kept = tuple(
            sorted(
                (each for each in found if each is not None),
                key=lambda each: (each.start_us, each.service, each.kind, each.instance),
            )
        )
        return self._kept

    def fault_free_until_us(self, from_us: int) -> int | None:
        """Until the first fault of a run; without labels nobody knows."""
        if not self._kept or self._may_be_in_force:
            return None
        return max(from_us, min(each.start_us - (each.within_us or 0) for each in self._kept))

    def _distinct(self, notes: Notes) -> Iterator[ForeignFault]:
        """Each fault once, by service, instance, kind and start; where one comes again the first counts."""
        counts: Counter[tuple[str, str, str, int]] = Counter()
        for each in self._all:
            key = (each.service, each.instance, each.kind, each.start_us)
            counts[key] += 1
            if counts[key] == 1:
                yield each
            else:
                notes.note(f"{each.said_in}: the label of another fault comes again, and is left out")

    def _of_run(self, fault: ForeignFault, from_us: int, until_us: int, notes: Notes) -> ForeignFault | None:
        if from_us <= fault.start_us < until_us:
            return fault
        what = f"{fault.said_in}: {fault.kind} at {fault.service}"
        if self._asked.from_us is not None and fault.start_us < from_us:
            if fault.end_us is None:
                self._may_be_in_force = True
                notes.note(
                    f"{what} begins before the run and has no end; nobody knows whether it is in force"
                )
                return None
            if fault.end_us > from_us:
                notes.note(f"{what} is in force when the run begins, and begins with it")
                return replace(fault, start_us=from_us)
            return None
        if self._asked.holds(fault.start_us):
            notes.note(f"{what} lies outside of all telemetry, and is left out")
        return None
