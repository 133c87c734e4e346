"""The settings of the load generator, from its command line.

A plain dataclass, for the reason given in the settings of the workload.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from microservo.platforms.local.token import token_or_exit


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the load generator; ports are on 127.0.0.1."""

    topology: str
    entry_url: str
    peers: Path | None
    rate: float
    seed: int
    otlp: str
    control_port: int
    max_active: int
    timeout_ms: float
    place: str = ""
    control_token: str = field(repr=False)

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the command line, and the token from the environment; exits with a message if wrong."""
        parser = argparse.ArgumentParser(prog="python -m services.loadgen", description=__doc__)
        parser.add_argument("--topology", required=True, help="file (.toml), or name of a shipped topology")
        entry = parser.add_mutually_exclusive_group(required=True)
        entry.add_argument("--entry-url", default="", help="base address of the entry service")
        entry.add_argument("--peers", type=Path, help="JSON file in which it stands, as the workload's")
        parser.add_argument("--rate", type=float, default=8.0, help="journeys per second")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="base address of the collector")
        parser.add_argument("--control-port", type=int, required=True, help="where the rate is set")
        parser.add_argument("--max-active", type=int, default=256, help="journeys at once; more are shed")
        parser.add_argument("--timeout-ms", type=float, default=5000.0, help="patience of a user per request")
        parser.add_argument(
            "--place", default="", help="latitude,longitude of all users at first; empty: nowhere"
        )
        given = vars(parser.parse_args(arguments))
        return cls(**given, control_token=token_or_exit(environment, "loadgen"))
