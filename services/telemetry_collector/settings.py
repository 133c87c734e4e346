"""What the collector can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.adapters.otlp.media import MAX_BODY_BYTES
from microservo.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the telemetry collector; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    otlp_port: int = Field(default=4318, ge=0, le=65535, description="Port of OTLP/HTTP; 0 takes any.")
    otlp_threads: int = Field(default=64, ge=1, description="Requests that may wait for Kafka at once.")
    otlp_body_bytes: int = Field(
        default=MAX_BODY_BYTES, ge=1, description="Largest request body, after decompression."
    )
    otlp_body_records: int = Field(
        default=100_000,
        ge=1,
        description="Records that one request body may hold; in JSON, ten values count as one.",
    )
    target_state: Path | None = Field(
        default=None, description="State file of the target; unset watches none."
    )
    queue_records: int = Field(
        default=100_000, ge=1, description="Records that may wait for Kafka before senders are told to wait."
    )
    flush_interval_s: float = Field(default=0.25, gt=0, description="Seconds between flushes to Kafka.")
    answer_timeout_s: float = Field(
        default=10.0, gt=0, description="Seconds a request waits for Kafka before it is answered 503."
    )
    sample_interval_s: float = Field(
        default=1.0, gt=0, description="Seconds between samples of processes and host."
    )
    graph_interval_s: float = Field(
        default=5.0, gt=0, description="Seconds between records of who called whom."
    )
