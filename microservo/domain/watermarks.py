"""How far event time has come in a run: the smallest promise of all its writers.

Who writes is declared: the run's record lists each writer with the instant from which it counts, and with the
cuts of its source. So a writer without a promise yet holds event time back, one that joins does so from
an instant that lies ahead, and a replay knows the same set. A writer leaves a run by a last stamp FOREVER_US.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from microservo.errors import InvalidMessage
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import RunWriter

MOST_DELAY_US = 60_000_000
"""The longest that windows of a service wait for its telemetry beyond the cuts."""

UNKNOWN = -1
"""Event time before every writer has sent a promise."""
NEVER_WAITS_US = -(1 << 61)
"""First cut of a writer that revision 0 never waits for: all that it writes comes later than that."""


class Passed(NamedTuple):
    """Which windows are past a cut; in microseconds UTC, UNKNOWN for none.

    Attributes:
        first_us: windows that end by then are past their first cut.
        final_us: windows that end by then are past their final cut.
    """

    first_us: int
    final_us: int


NOTHING_PASSED = Passed(UNKNOWN, UNKNOWN)


class Cut(NamedTuple):
    """When a revision of a window is made, and what it may know.

    Attributes:
        due_us: microseconds UTC: the revision is due when windows that end by then are past a cut.
        revision: its number; for 0 that is the first cut, for all others the final one.
    """

    due_us: int
    revision: int

    def is_in_time(self, late: Passed) -> bool:
        """Whether what came too late for these windows came in time for this cut."""
        return (late.final_us if self.revision else late.first_us) < self.due_us


class UndeclaredWriter(InvalidMessage):
    """A writer is not among the run's writers."""


class _Writer:
    """A writer's promise so far, and the cuts of its source."""

    __slots__ = ("_final_cut_us", "_first_cut_us", "passed", "promise_us")

    def __init__(self, promise_us: int, first_cut_us: int, final_cut_us: int) -> None:
        self._first_cut_us = first_cut_us
        self._final_cut_us = final_cut_us
        self.promise(promise_us)

    def promise(self, promise_us: int) -> None:
        self.promise_us = promise_us
        self.passed = Passed(promise_us - self._first_cut_us, promise_us - self._final_cut_us)


class Watermarks:
    """The promises that a run's writers made on one partition number of several co-partitioned topics.

    A run without declared writers is one recorded before there were any, or one that nobody recorded: each
    source then has one writer, the first that writes, and time stands until each source has one.

    Args:
        sources: topics that time stands still for, in a run without declared writers.
        first_cut_us: first cut of writers that were not declared, in microseconds.
        final_cut_us: their final cut.
    """

    def __init__(self, sources: Sequence[str], *, first_cut_us: int, final_cut_us: int) -> None:
        self._cuts_us = (first_cut_us, final_cut_us)
        self._unheard = set(sources)
        self._is_declared = False
        self._writers: dict[tuple[str, str], _Writer] = {}
        self._from_us: dict[str, int] = {}
        self._low = NOTHING_PASSED
        self._asked = (NOTHING_PASSED, UNKNOWN)
        self.passed = NOTHING_PASSED
        """What `advance` came to; it never falls."""

    def declare(self, writers: Iterable[RunWriter]) -> None:
        """Adds declared writers; those that are known already are left as they are.

        What was passed is never taken back: a writer that was declared too late counts from there.
        """
        for each in writers:
            self._is_declared = True
            self._from_us[each.topic] = min(each.from_us, self._from_us.get(each.topic, each.from_us))
            if (each.topic, each.writer) not in self._writers:
                writer = _Writer(self._begins_us(each), each.first_cut_us, each.final_cut_us)
                self._writers[each.topic, each.writer] = writer
        self._low = self._lowest()

    def knows(self, source: str, writer: str) -> bool:
        """Whether a writer was declared, or is the one of an undeclared run's source."""
        return (source, writer) in self._writers

    def is_written(self, source: str, by_us: int) -> bool:
        """Whether a declared writer of a source counts by an instant; it may have left since.

        Once that instant is past a cut, no writer that isn't known yet can be declared for it.
        """
        from_us = self._from_us.get(source)
        return from_us is not None and from_us <= by_us

    def behind(self, source: str, by_us: int) -> list[str]:
        """Writers of a source whose promises lie so far behind those of all writers of other sources."""
        others = [each.promise_us for (topic, _), each in self._writers.items() if topic != source]
        limit_us = min(others, default=UNKNOWN) - by_us
        return [
            name
            for (topic, name), each in self._writers.items()
            if topic == source and each.promise_us < limit_us
        ]

    def observe(self, source: str, stamp: Stamp) -> Passed:
        """Updates by the promise that a message of `source` carries.

        Returns:
            The windows that the message's records are late for, and those they are too late for.

        Raises:
            UndeclaredWriter: the run's record doesn't know it.
            InvalidMessage: the writer has left, or takes back an earlier promise.
        """
        writer = self._writers.get((source, stamp.writer)) or self._adopted(source, stamp)
        promise_us, before_us = stamp.watermark_us, writer.promise_us
        if promise_us < before_us:
            raise InvalidMessage(_taken_back(stamp, before_us))
        if promise_us > before_us:
            (first_us, final_us), low = writer.passed, self._low
            writer.promise(promise_us)
            if first_us == low.first_us or final_us == low.final_us:
                self._low = self._lowest()
        return writer.passed

    def advance(self, limit_us: int = FOREVER_US) -> Passed:
        """Moves event time on to what the writers promised.

        Args:
            limit_us: taken for the promise of writers that may be declared without being known here.
        """
        low, asked_us = self._asked
        if low is self._low and asked_us == limit_us:
            # Asked after every message, and mostly for nothing new.
            return self.passed
        self._asked = (self._low, limit_us)
        passed, (first_us, final_us) = self.passed, self._low
        first_cut_us, final_cut_us = self._cuts_us
        first_us = min(first_us, limit_us - first_cut_us)
        final_us = min(final_us, limit_us - final_cut_us)
        if first_us > passed.first_us or final_us > passed.final_us:
            self.passed = Passed(max(first_us, passed.first_us), max(final_us, passed.final_us))
        return self.passed

    def _adopted(self, source: str, stamp: Stamp) -> _Writer:
        if self._is_declared:
            msg = (
                f"{stamp.writer} is no declared writer of {source} in run {stamp.run!r}; "
                "declare it in the run's record before it writes"
            )
            raise UndeclaredWriter(msg)
        if source not in self._unheard:
            msg = (
                f"{stamp.writer} can't write {source} in run {stamp.run!r}, whose record declares nobody: "
                "the first writer of telemetry and faults counts, and no other; declare all before they write"
            )
            raise UndeclaredWriter(msg)
        self._unheard.discard(source)
        writer = self._writers[source, stamp.writer] = _Writer(stamp.watermark_us, *self._cuts_us)
        self._low = self._lowest()
        return writer

    def _begins_us(self, writer: RunWriter) -> int:
        """From when a writer counts; before that instant it holds nothing back."""
        if self.passed == NOTHING_PASSED:
            return writer.from_us
        first_us, final_us = self.passed
        return max(writer.from_us, first_us + writer.first_cut_us, final_us + writer.final_cut_us)

    def _lowest(self) -> Passed:
        if not self._writers or (self._unheard and not self._is_declared):
            return NOTHING_PASSED
        first_us, final_us = zip(*[writer.passed for writer in self._writers.values()], strict=True)
        return Passed(min(first_us), min(final_us))


def _taken_back(stamp: Stamp, before_us: int) -> str:
    if before_us == FOREVER_US:
        return f"{stamp.writer} has left run {stamp.run!r}; a writer that joins it needs another name"
    return f"{stamp.writer} took its promise back: {before_us} was followed by {stamp.watermark_us}"
