"""Which attempt at a task counts."""

from __future__ import annotations

from schemas.records import AttemptState, EvaluationTask

ENDED: frozenset[AttemptState] = frozenset({"interrupted", "done", "failed"})
LEASE_US = 10_000_000
RENEW_US = 2_000_000
PROGRESS_US = 500_000
"""Between two records of one attempt, where nothing and where something was done."""
MOST_ATTEMPTS = 5
"""In one round, whose evaluator or process ended in the middle: then it is given up."""


def takes_over(record: EvaluationTask, known: EvaluationTask | None) -> bool:
    """Whether a record of a task takes the place of what counted so far.

    Records come in the order of the log, of which compaction may have removed all but the newest of each
    attempt. A claim that was confirmed, since its holder has read that it counts, goes on to count whatever
    of the log is gone. So a claim that came behind an end counts for nothing, and neither does an end that
    came behind a claim: its holder had lost the task.

    Args:
        record: the next one on the log.
        known: what counts by then.
    """
    if known is None:
        return True
    if record.round != known.round:
        return record.round > known.round
    if record.attempt_id == known.attempt_id:
        return known.state not in ENDED
    is_confirmed = record.state != "claimed"
    if record.fence == known.fence:
        return is_confirmed and known.state == "claimed"
    return record.fence > known.fence and (is_confirmed or known.state not in ENDED)


def is_held(attempt: EvaluationTask, now_us: int) -> bool:
    """Whether somebody works on it.

    A lease that ends later than any lease can is of a clock that was wrong, and would hold for ever.
    """
    until_us = attempt.lease_until_us
    return until_us is not None and now_us < until_us <= now_us + 2 * LEASE_US
