"""What every source that is declared says, whatever it reads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from microservo.domain.watermarks import NEVER_WAITS_US


class Declared(BaseModel):
    """A part of a declaration; what it does not know is refused, so that a slip of the pen shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SourceSettings(Declared):
    """A source that is a writer of its own in the run.

    Attributes:
        name: of the source, and of its writer in the run.
        waits: whether the first revision of windows waits for what is read here; false where other sources
            tell of the same services at once, and detectors shall not wait.
        late_s: for how much longer than others records read here count: an outage that long loses none.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    waits: bool = True
    late_s: float = Field(default=60.0, ge=0, le=3600)

    def first_cut_us(self, of_run_us: int) -> int:
        """How long after a window's end its records are on time; by default as long as others of the run."""
        return of_run_us if self.waits else NEVER_WAITS_US

    def final_cut_us(self, of_run_us: int) -> int:
        """How long they are accepted."""
        return of_run_us + round(self.late_s * 1e6)
