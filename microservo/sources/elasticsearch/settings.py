"""What is declared of an Elasticsearch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from microservo.sources.settings import SourceSettings

LOGS = ("filebeat-*", "logs-*", "logstash-*", "-logs-apm*")
TRACES = ("traces-apm*", "apm-*", "traces-*.otel-*")
"""Where Filebeat, Elastic Agent, Logstash, APM and OpenTelemetry's exporter write by default."""


class ElasticsearchSettings(SourceSettings):
    """An Elasticsearch that is followed.

    Attributes:
        url: scheme, host and port.
        logs: patterns of indices, aliases and data streams with log lines; none reads no lines.
        traces: the same with spans.
        interval_s: seconds between two looks.
        lag_s: how long after its instant a document is usually there: its shipper's wait, and a refresh.
        overlap_s: how far each look goes back behind the one before.
        sweep_s: how far a look goes back that comes every 30 s, for documents that come later than that.
        page: documents that are asked for at once.
        api_key_file: an API key as it was given, encoded.
        username, password_file: for basic authentication.
        ca_file, fingerprint: the certificate's authority, or the SHA-256 of its own.
        timeout_s: of one request.
    """

    kind: Literal["elasticsearch"] = "elasticsearch"
    name: str = Field(default="elasticsearch", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    url: str = Field(pattern=r"^https?://[^/]+:\d+")
    logs: tuple[str, ...] = LOGS
    traces: tuple[str, ...] = TRACES
    interval_s: float = Field(default=5.0, ge=0.05, le=60)
    lag_s: float = Field(default=10.0, ge=0, le=600)
    overlap_s: float = Field(default=15.0, ge=0, le=3600)
    sweep_s: float = Field(default=120.0, ge=0, le=3600)
    page: int = Field(default=5000, ge=1, le=10_000)
    api_key_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    fingerprint: str = ""
    timeout_s: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _reads_something(self) -> ElasticsearchSettings:
        if not self.logs and not self.traces:
            msg = "neither logs nor traces are to be read; name indices of one of them"
            raise ValueError(msg)
        if self.api_key_file and self.username:
            msg = "both api_key_file and username are given; give one of them"
            raise ValueError(msg)
        return self
