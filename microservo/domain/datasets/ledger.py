"""The ledger: where every record that was read went, per source, service and minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """Counts of the records of one source, service and minute of event time.

    Attributes:
        source: logical topic.
        service: name of the service.
        minute_us: microseconds UTC of the minute's start.
        read: all of them.
        in_windows: in a window on time.
        late: in a window at its second revision.
        duplicate: the same record once more.
        dropped: too late for any window.
        rejected: unusable.
        unfinished: in a window that was not final when the run ended, so it is not in the dataset.
        lost: taken away by a fault on telemetry before anybody could read it, so in none of the others.
    """

    source: str
    service: str
    minute_us: int
    read: int
    in_windows: int
    late: int
    duplicate: int
    dropped: int
    rejected: int
    unfinished: int
    lost: int = 0

    @property
    def accounted(self) -> int:
        """What the records went to, summed; equal to `read` where nothing was lost."""
        settled = self.in_windows + self.late + self.duplicate + self.dropped + self.rejected
        return settled + self.unfinished

    def plus(self, other: LedgerRow) -> LedgerRow:
        """This row with the counts of another of the same source, service and minute."""
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in COUNTS})


COUNTS = ("read", "in_windows", "late", "duplicate", "dropped", "rejected", "unfinished", "lost")


def added_up(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """One row for all of the same source, service and minute; by minute, source and service."""
    sums: dict[tuple[int, str, str], LedgerRow] = {}
    for row in rows:
        key = (row.minute_us, row.source, row.service)
        sums[key] = sums[key].plus(row) if key in sums else row
    return [sums[key] for key in sorted(sums)]


def ledger_problems(rows: Iterable[LedgerRow], produced: Mapping[str, int] | None) -> list[str]:
    """What is wrong with a ledger: a broken identity, or a source whose writers count otherwise.

    Args:
        rows: the ledger.
        produced: records by source, as the writers' stamps count them; None where they count something else.
    """
    problems = []
    read = dict.fromkeys(produced or (), 0)
    for row in rows:
        read[row.source] = read.get(row.source, 0) + row.read
        if row.read != row.accounted:
            problems.append(
                f"ledger: {row.source} of {row.service} at {row.minute_us}: {row.read} read,"
                f" {row.accounted} accounted for"
            )
    if produced is None:
        return problems
    problems += [
        f"ledger: {source}: {count} read, {produced.get(source, 0)} produced by the writers' stamps"
        for source, count in sorted(read.items())
        if count != produced.get(source, 0)
    ]
    return problems
