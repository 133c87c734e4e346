"""The settings of one instance, from its command line.

A plain dataclass: the instances stand for a foreign system, which reads no MICROSERVO_ variables but the
token of its control port.
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
    """The settings of one instance; ports are on 127.0.0.1.

    Attributes:
        host: that it runs on; empty where there are no hosts.
        regions: the own one, then the others, the nearest first.
    """

    topology: str
    service: str
    instance: str
    port: int
    control_port: int
    peers: Path | None
    otlp: str
    seed: int
    core: int
    data: Path
    place: str = ""
    host: str = ""
    regions: tuple[str, ...] = ()
    control_token: str = field(repr=False)

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the command line, and the token from the environment; exits with a message if wrong."""
        parser = argparse.ArgumentParser(prog="python -m services.workload", description=__doc__)
        parser.add_argument("--topology", required=True, help="file (.toml), or name of a shipped topology")
        parser.add_argument("--service", required=True, help="which service of the topology")
        parser.add_argument("--instance", required=True, help="id of this instance, as in cartservice-0")
        parser.add_argument("--port", type=int, required=True, help="where requests come in")
        parser.add_argument("--control-port", type=int, required=True, help="where faults come in")
        parser.add_argument(
            "--peers",
            type=Path,
            help="JSON file: service -> list of base addresses, looked at again while it runs",
        )
        parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="base address of the collector")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--core", type=int, default=0, help="number of its core, counted on over those there are"
        )
        parser.add_argument(
            "--data", type=Path, required=True, help="folder of its own for its files; emptied at the start"
        )
        parser.add_argument("--place", default="", help="latitude,longitude, which callees are told")
        parser.add_argument("--host", default="", help="that it runs on; it calls what is there first")
        parser.add_argument(
            "--region",
            dest="regions",
            action="append",
            default=[],
            help="that it lies in; again for each other one, the nearest first, as it calls them",
        )
        given = vars(parser.parse_args(arguments))
        given["regions"] = tuple(given["regions"])
        return cls(**given, control_token=token_or_exit(environment, "workload"))
