"""Faults that are over, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from microservo.cli.output import Cell
from microservo.cli.text import styled
from microservo.cli.times import after
from schemas.records import FaultEvent

FAULT_COLUMNS = ("fault", "applied", "effect", "recovered", "normal", "verdict")


def fault_row(event: FaultEvent) -> Sequence[Cell]:
    """A fault with its measured times, each after the request."""
    # Two lines for each fault, so that nothing is cut on a terminal of 80 columns.
    times_us = (event.applied_at_us, event.effect_seen_at_us, event.recovered_at_us, event.normal_at_us)
    return (
        (event.kind, styled(event.service, dim=True)),
        *(after(time_us, event.requested_at_us) for time_us in times_us),
        event.verdict if event.state == "recovered" else (event.verdict, event.state),
    )
