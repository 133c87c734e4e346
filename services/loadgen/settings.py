"""What the load generator is told on its command line.

A plain dataclass, for the reason given in the settings of the workload.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the load generator; ports are on 127.0.0.1."""

    topology: str
    entry_url: str
    rate: float
    seed: int
    otlp: str
    control_port: int
    max_active: int
    timeout_ms: float

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Self:
        """Reads the command line; exits with a message when it is wrong."""
        parser = argparse.ArgumentParser(prog="python -m services.loadgen", description=__doc__)
        parser.add_argument("--topology", required=True, help="file (.toml), or name of a shipped topology")
        parser.add_argument("--entry-url", required=True, help="base address of the entry service")
        parser.add_argument("--rate", type=float, default=8.0, help="journeys per second")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="base address of the collector")
        parser.add_argument("--control-port", type=int, required=True, help="where the rate is set")
        parser.add_argument("--max-active", type=int, default=64, help="journeys at once; more are shed")
        parser.add_argument("--timeout-ms", type=float, default=5000.0, help="patience of a user per request")
        return cls(**vars(parser.parse_args(arguments)))
