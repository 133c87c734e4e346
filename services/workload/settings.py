"""What one instance is told on its command line.

A plain dataclass: the instances stand for a foreign system that reads no MICROSERVO_ variables, and many of
them run at once, so the memory that pydantic takes in each is better spent elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one instance; ports are on 127.0.0.1."""

    topology: str
    service: str
    instance: str
    port: int
    control_port: int
    peers: Path | None
    otlp: str
    seed: int

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Self:
        """Reads the command line; exits with a message when it is wrong."""
        parser = argparse.ArgumentParser(prog="python -m services.workload", description=__doc__)
        parser.add_argument("--topology", required=True, help="file (.toml), or name of a shipped topology")
        parser.add_argument("--service", required=True, help="which service of the topology")
        parser.add_argument("--instance", required=True, help="id of this instance, as in cartservice-0")
        parser.add_argument("--port", type=int, required=True, help="where requests come in")
        parser.add_argument("--control-port", type=int, required=True, help="where faults come in")
        parser.add_argument("--peers", type=Path, help="JSON file: service -> list of base addresses")
        parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="base address of the collector")
        parser.add_argument("--seed", type=int, default=0)
        return cls(**vars(parser.parse_args(arguments)))
