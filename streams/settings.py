"""Settings of the stream processor."""

from __future__ import annotations

from pydantic import Field

from microservo.domain.window_policy import WindowPolicy
from microservo.runtime.settings import ServiceSettings

_US = 1_000_000


class StreamsSettings(ServiceSettings):
    """Settings of the stream processor; environment variables start with MICROSERVO_."""

    streams_group: str = Field(default="microservo-streams", description="Faust application id.")
    window_s: float = Field(default=5.0, gt=0, description="Length of a window.")
    first_cut_s: float = Field(default=2.0, ge=0, description="Wait after a window's end for revision 0.")
    final_cut_s: float = Field(default=30.0, ge=0, description="How long late records still count.")
    future_s: float = Field(default=5.0, ge=0, description="How far ahead of its stamp a record may lie.")
    silence_s: float = Field(
        default=20.0,
        gt=0,
        description="Seconds of silence, without even heartbeats, that stop a worker.",
    )
    checkpoint_s: float = Field(default=1.0, gt=0, description="Seconds between checkpoints.")

    def policy(self) -> WindowPolicy:
        """How windows are cut."""
        return WindowPolicy(
            size_us=round(self.window_s * _US),
            first_cut_us=round(self.first_cut_s * _US),
            final_cut_us=round(self.final_cut_s * _US),
            future_us=round(self.future_s * _US),
        )
