"""What is declared of topics of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from microservo.sources.settings import SourceSettings

Format = Literal[
    "auto",
    "otlp_spans",
    "otlp_metrics",
    "otlp_logs",
    "jaeger",
    "documents",
    "prometheus",
]
"""What messages are: OpenTelemetry's and Jaeger's in protobuf or JSON, documents of Filebeat, Fluent Bit or
Logstash, samples of the adapter that Prometheus writes to."""


class KafkaSettings(SourceSettings):
    """Topics that are followed, from where they end when the run begins.

    Attributes:
        bootstrap_servers: of the Kafka that they are on.
        topics: their names.
        formats: what the messages of a topic are, where that can't be told from them.
        late_s: as for all sources; a topic keeps what came while nobody read it.
    """

    kind: Literal["kafka"] = "kafka"
    name: str = Field(default="kafka", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    bootstrap_servers: str = Field(min_length=1)
    topics: tuple[str, ...] = (
        "otlp_spans",
        "otlp_metrics",
        "otlp_logs",
        "jaeger-spans",
        "fluent-bit",
        "metrics",
    )
    formats: Mapping[str, Format] = Field(default_factory=dict)
