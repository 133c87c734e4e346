"""From when to when a recording is imported, and how long that may be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from microservo.datasets.imports.importer import Extent, Notes
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Int64
from microservo.errors import InvalidInput

_DAY_US = 86_400_000_000
LONGEST_US = 7 * _DAY_US
"""A run is cut into windows of seconds: in a longer one nearly all of them would be silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanOfTime:
    """Microseconds UTC, the first included and the last not; None where it is open."""

    from_us: int | None = None
    until_us: int | None = None

    def holds(self, time_us: int) -> bool:
        """Whether an instant is in it."""
        return (self.from_us is None or time_us >= self.from_us) and (
            self.until_us is None or time_us < self.until_us
        )

    def of_rows(self, rows: Rows, time_us: Int64, notes: Notes) -> Rows:
        """Those that lie in it."""
        if self == ALL_OF_IT:
            return rows
        kept = np.ones(len(time_us), np.bool_)
        if self.from_us is not None:
            kept &= time_us >= self.from_us
        if self.until_us is not None:
            kept &= time_us < self.until_us
        if kept.all():
            return rows
        notes.note(f"a record lies outside of what is asked for{self.words}", int((~kept).sum()))
        return rows.at(np.flatnonzero(kept))

    @property
    def words(self) -> str:
        """As options say it."""
        pairs = (("--from", self.from_us), ("--to", self.until_us))
        return "".join(f" {option} {instant(time_us)}" for option, time_us in pairs if time_us is not None)


ALL_OF_IT = SpanOfTime()


def instant(time_us: int) -> str:
    """An instant as `--from` and `--to` take it."""
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def refuse_long(from_us: int, until_us: int, extent: Extent, within: SpanOfTime) -> None:
    """Refuses what is longer than a run may be, with the way out.

    Args:
        from_us: where the run would begin.
        until_us: where it would end.
        extent: where the first and the last instant stand.
        within: what was asked for.

    Raises:
        InvalidInput: it is too long.
    """
    if until_us - from_us <= LONGEST_US:
        return
    days, most = (until_us - from_us) / _DAY_US, LONGEST_US // _DAY_US
    begin, end = instant(from_us), instant(min(until_us, from_us + LONGEST_US))
    where = (
        f" ({extent.first_at} has the first instant, {extent.last_at} the last: did a clock jump there?)"
        if within == ALL_OF_IT
        else within.words
    )
    msg = (
        f"the recording spans {days:.1f} days{where}, and a run may span {most}; import it in stretches, each"
        f" a run: --from {begin} --to {end} and so on"
    )
    raise InvalidInput(msg)
