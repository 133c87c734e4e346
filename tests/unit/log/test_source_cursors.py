"""How far a source has read outlives it, for each run and source alone."""

from __future__ import annotations

from contextlib import closing

from microservo.log.source_cursors import SourceCursors, read_cursors
from microservo.log.topics import topic_specs
from microservo.testing import ManualClock, MemoryBroker

T_US = 1_769_860_832_000_000


def test_a_source_goes_on_where_it_was_and_no_other_does() -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix="t-"))
    with closing(SourceCursors(broker, "t-", "run-1", "prometheus", ManualClock(T_US))) as cursors:
        assert cursors.load() == ""
        cursors.save(("17", T_US - 30))
        cursors.save(("42", T_US - 20))
    for run_id, source, cursor in (
        ("run-1", "prometheus", "42"),
        ("run-1", "elasticsearch", ""),
        ("run-2", "prometheus", ""),
    ):
        with closing(SourceCursors(broker, "t-", run_id, source, ManualClock(T_US))) as again:
            assert again.load() == cursor
    (kept,) = read_cursors(broker, "t-").values()
    assert (kept.until_us, kept.updated_at_us) == (T_US - 20, T_US)
