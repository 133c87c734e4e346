"""The writers' counts show what is missing."""

from __future__ import annotations

from microservo.domain.datasets.stamps import StampAudit
from schemas.envelope import Stamp


def stamp(sequence: int, total: int, writer: str = "w") -> Stamp:
    return Stamp(run="run", watermark_us=1, writer=writer, sequence=sequence, total=total)


def test_a_whole_range_in_the_middle_of_a_log_is_counted() -> None:
    audit = StampAudit()
    audit.observe(0, stamp(10, 105), 5, own=True)
    audit.observe(0, stamp(11, 105), 0, own=True)
    audit.observe(0, stamp(12, 112), 7, own=True)
    totals = audit.totals
    assert (totals.messages, totals.heartbeats, totals.produced) == (3, 1, 12)
    assert (totals.missing_messages, totals.missing_records) == (0, 0)


def test_a_jump_in_the_sequence_is_missing_messages() -> None:
    audit = StampAudit()
    audit.observe(0, stamp(0, 5), 5, own=True)
    audit.observe(0, stamp(3, 15), 5, own=True)
    assert (audit.totals.missing_messages, audit.totals.missing_records) == (2, 5)
    assert audit.totals.produced == 15


def test_partitions_and_writers_count_on_their_own() -> None:
    audit = StampAudit()
    for partition in (0, 1):
        for writer in ("a", "b"):
            audit.observe(partition, stamp(0, 3, writer), 3, own=True)
            audit.observe(partition, stamp(1, 6, writer), 3, own=True)
    assert (audit.totals.produced, audit.totals.missing_messages) == (24, 0)


def test_records_of_another_run_are_no_records_of_this_one() -> None:
    audit = StampAudit()
    audit.observe(0, stamp(0, 5), None, own=False)
    audit.observe(0, stamp(1, 8), 3, own=True)
    assert (audit.totals.produced, audit.totals.other_runs, audit.totals.missing_records) == (3, 1, 0)


def test_the_stamp_says_how_many_records_an_unreadable_message_had() -> None:
    audit = StampAudit()
    audit.observe(0, stamp(0, 5), 5, own=True)
    assert audit.observe(0, stamp(1, 9), None, own=True, is_rejected=True) == 4
    assert (audit.totals.produced, audit.totals.rejected_messages) == (9, 1)
