"""The settings of the telemetry collector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from microservo.adapters.otlp.media import MAX_BODY_BYTES
from microservo.domain.watermarks import MOST_DELAY_US
from microservo.domain.window_policy import WindowPolicy
from microservo.log.writers import COLLECTOR_WRITER
from microservo.runtime.http import LOOPBACK
from microservo.runtime.settings import ServiceSettings
from microservo.sources.otlp.intake import ReceiverLimits
from services.telemetry_collector.delays import Delays


class Settings(ServiceSettings):
    """Settings of the telemetry collector; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    writer: str = Field(
        default=COLLECTOR_WRITER,
        min_length=1,
        description="Name of this collector among the run's writers; kept over restarts, and its alone.",
    )
    otlp_port: int = Field(default=4318, ge=0, le=65535, description="Port of OTLP/HTTP; 0 takes any.")
    otlp_grpc_port: int = Field(default=4317, ge=0, le=65535, description="Port of OTLP/gRPC; 0 takes any.")
    otlp_host: str = Field(
        default=LOOPBACK,
        min_length=1,
        description="Address to take OTLP on; 0.0.0.0 takes it from other machines.",
    )
    otlp_cors_origins: str = Field(
        default="",
        description="Origins of web pages that may send OTLP/HTTP, with commas between; * lets in all.",
    )
    otlp_body_bytes: int = Field(
        default=MAX_BODY_BYTES, ge=1, description="Largest request body, after decompression."
    )
    otlp_body_records: int = Field(
        default=100_000,
        ge=1,
        description="Records that one request body may hold; in JSON, ten values count as one.",
    )
    control_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the control API, by which faults are made of telemetry; unset makes none.",
    )
    control_token: str = Field(
        default="", repr=False, description="What callers of the control API must show."
    )
    target_state: Path | None = Field(
        default=None, description="State file of the target; unset watches none."
    )
    source: Path | None = Field(
        default=None,
        description="Declaration of a source that this collector reads instead of OTLP and this machine.",
    )
    past: Path | None = Field(
        default=None,
        description="Declaration of a past range of sources that this collector reads, and then ends.",
    )
    queue_records: int = Field(
        default=100_000, ge=1, description="Records that may wait for Kafka before senders are told to wait."
    )
    gather_s: float = Field(
        default=0.2,
        ge=0,
        description="Seconds that what is sent on an interval waits for others, to go to Kafka together.",
    )
    answer_timeout_s: float = Field(
        default=5.0, gt=0, description="Seconds a request waits for Kafka before it is answered 503."
    )
    sample_interval_s: float = Field(
        default=1.0, gt=0, description="Seconds between samples of processes and host."
    )
    graph_interval_s: float = Field(
        default=5.0, gt=0, description="Seconds between records of who called whom."
    )
    callee_wait_s: float = Field(
        default=0.4,
        ge=0,
        description="Seconds that spans wait for those of an unknown callee; well below the first cut.",
    )
    window_s: float = Field(default=5.0, gt=0, description="Length of a window, as the stream processor's.")
    first_cut_s: float = Field(default=2.0, ge=0, description="How long a window waits anyway, as there.")
    final_cut_s: float = Field(default=30.0, ge=0, description="How long late records count, as there.")
    delays_s: Mapping[str, Annotated[float, Field(ge=0, le=MOST_DELAY_US / 1e6)]] = Field(
        default_factory=dict,
        description="How late the telemetry of services comes, as JSON: windows wait that much longer. "
        "Of others it is learned.",
    )

    @model_validator(mode="after")
    def _has_token(self) -> Self:
        if self.control_port is not None and not self.control_token:
            msg = "the control API would be open to all; set MICROSERVO_CONTROL_TOKEN to a secret"
            raise ValueError(msg)
        return self

    def inventory_interval_us(self) -> int:
        """How often it is told what is known of services: several times in each window, and each second."""
        return round(min(1.0, self.window_s / 4) * 1e6)

    def delays(self) -> Delays:
        """How late telemetry comes: as declared, to be learned of others."""
        declared_us = {service: round(delay_s * 1e6) for service, delay_s in self.delays_s.items()}
        return Delays(round(self.first_cut_s * 1e6), declared_us)

    def receiver_limits(self) -> ReceiverLimits:
        """What the OTLP receiver accepts."""
        windows = WindowPolicy(
            size_us=round(self.window_s * 1e6),
            first_cut_us=0,
            # Of the slowest service, records count that much longer.
            final_cut_us=round((self.final_cut_s + max(self.delays_s.values(), default=0)) * 1e6),
        )
        return ReceiverLimits(
            body_bytes=self.otlp_body_bytes,
            body_records=self.otlp_body_records,
            answer_timeout_s=self.answer_timeout_s,
            windows=windows,
            cors_origins=tuple(each.strip() for each in self.otlp_cors_origins.split(",") if each.strip()),
        )
