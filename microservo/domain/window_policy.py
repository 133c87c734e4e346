"""How windows are cut."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPolicy:
    """How windows are cut; all in microseconds of event time.

    Attributes:
        size_us: length of a window.
        first_cut_us: how long after its end a window waits for what is under way; a declared writer has a cut
            of its own.
        final_cut_us: how long late records are still accepted, into revision 1; likewise. Windows that are
            kept for their labels are judged again each time that so much more has passed.
        future_us: how far a record may lie ahead of the promise it travels with.
    """

    size_us: int = 5_000_000
    first_cut_us: int = 2_000_000
    final_cut_us: int = 30_000_000
    future_us: int = 5_000_000

    def __post_init__(self) -> None:
        if self.size_us <= 0 or not 0 <= self.first_cut_us <= self.final_cut_us or self.future_us < 0:
            msg = f"{self} makes no sense; expected size > 0 and 0 <= first cut <= final cut, future >= 0"
            raise ValueError(msg)

    def start_of(self, time_us: int) -> int:
        """Start of the window that holds an instant."""
        return time_us - time_us % self.size_us

    def oldest_us(self, watermark_us: int) -> int:
        """Start of the oldest window that is still open at a watermark; what is older is dropped."""
        return self.start_of(watermark_us - self.final_cut_us - self.size_us) + self.size_us
