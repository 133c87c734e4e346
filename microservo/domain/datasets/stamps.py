"""Nothing lost on the way: the writers' own counts against what was read."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.envelope import Stamp


@dataclass(slots=True, kw_only=True)
class SourceTotals:
    """Counts of one source over all its partitions.

    Attributes:
        messages: all messages in the run's range.
        heartbeats: those without a record that is counted.
        other_runs: messages of another run, which are skipped.
        produced: records of this run, by the writers' stamps.
        rejected_messages: messages of this run that could not be read.
        missing_messages: jumps in the writers' sequence, summed.
        missing_records: records that a stamp counts beyond what its message holds, summed.
    """

    messages: int = 0
    heartbeats: int = 0
    other_runs: int = 0
    produced: int = 0
    rejected_messages: int = 0
    missing_messages: int = 0
    missing_records: int = 0


class StampAudit:
    """Follows the stamps of one source; one call of `observe` per message, in offset order per partition."""

    def __init__(self) -> None:
        self.totals = SourceTotals()
        self._last: dict[tuple[int, str], Stamp] = {}

    def observe(
        self, partition: int, stamp: Stamp, records: int | None, *, own: bool, is_rejected: bool = False
    ) -> int:
        """Counts a message and returns how many records it adds by its stamp.

        Args:
            partition: number of the partition.
            stamp: what the message carries.
            records: what it holds; None where it can't be read, then the stamp's word is taken.
            own: whether it belongs to the run.
            is_rejected: whether it could not be used.
        """
        last = self._last.get((partition, stamp.writer))
        self._last[partition, stamp.writer] = stamp
        added = stamp.total - last.total if last else (records or 0)
        totals = self.totals
        totals.messages += 1
        totals.heartbeats += records == 0
        totals.other_runs += not own
        totals.rejected_messages += own and is_rejected
        if last:
            totals.missing_messages += abs(stamp.sequence - last.sequence - 1)
        if own:
            totals.produced += added
            totals.missing_records += abs(added - (added if records is None else records))
        return added
