"""The end of a run that is made of the past: its writers leave it, and it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput
from microservo.log.run_records import update_run
from microservo.log.writers import retire_writer
from microservo.retry import retry

_QUIET_S = 30.0


def leave_run(
    broker: Broker,
    *,
    run_id: str,
    writers: Iterable[str],
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> None:
    """Says that writers of telemetry send no more in a run.

    Raises:
        InvalidInput: one was not silent for some seconds, though it was waited for.
    """
    for writer in writers:
        # Refused until it has been silent.
        retry(
            partial(
                retire_writer,
                broker,
                run_id=run_id,
                writer=writer,
                process=process,
                clock=clock,
                topic_prefix=topic_prefix,
            ),
            timeout_s=_QUIET_S,
            passing=InvalidInput,
        )


def finish_run(
    broker: Broker,
    *,
    run_id: str,
    until_us: int,
    ends: Mapping[str, int],
    process: str,
    clock: Callable[[], int],
    topic_prefix: str = "",
) -> None:
    """Records that a run is over, once all its writers have left it; `ends` are offsets by partition."""
    update_run(
        broker,
        run_id,
        lambda run: replace(run, status="finished", finished_at_us=until_us, end_offsets=dict(ends)),
        process=process,
        clock=clock,
        topic_prefix=topic_prefix,
    )
