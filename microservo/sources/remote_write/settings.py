"""What is declared of a receiver of remote write."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microservo.runtime.http import LOOPBACK
from microservo.sources.prometheus.settings import Of
from microservo.sources.settings import SourceSettings


class RemoteWriteSettings(SourceSettings):
    """A port that Prometheus writes to.

    Attributes:
        port: of `/api/v1/write`; 0 takes any.
        host: address to listen on; 0.0.0.0 takes it from other machines.
        of: whom series are about.
        raw: whether values of counters go on, too, beside their rates.
        answer_timeout_s: how long a request waits for Kafka before it is to come again.
    """

    kind: Literal["remote-write"] = "remote-write"
    name: str = Field(default="remote-write", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    port: int = Field(default=9201, ge=0, le=65535)
    host: str = Field(default=LOOPBACK, min_length=1)
    of: Of = "job"
    raw: bool = True
    answer_timeout_s: float = Field(default=5.0, gt=0)
