"""The settings of a launcher, from its command line."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from microservo.platforms.local.token import token_or_exit
from microservo.runtime.environment import PREFIX

_BROKER = f"{PREFIX}BOOTSTRAP_SERVERS"


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherSettings:
    """The settings of a launcher; its port is on 127.0.0.1.

    Attributes:
        folder: as `LocalPlace.folder`; a launcher that was killed is followed by one with the same folder.
        journeys_per_s: of the users; 0 for none.
        host_start_s: seconds that a host needs to start.
        users_at: place of the users, as "LATITUDE,LONGITUDE"; empty for none.
        collector: URL of the collector's control API, which asks for the same token; empty for none.
        registry: URL of the registry that is told from where requests come, and which containers there are in
            regions without one; it asks for the same token, or none. Empty for none.
        has_broker: the environment names one, which components of regions use.
    """

    topology: str
    folder: Path
    otlp: str
    port: int
    seed: int
    journeys_per_s: float
    host_start_s: float
    users_at: str
    collector: str
    registry: str
    has_broker: bool
    control_token: str = field(repr=False)

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Self:
        """Reads the command line, and the token from the environment; exits with a message if wrong."""
        parser = argparse.ArgumentParser(prog="python -m services.launcher", description=__doc__)
        parser.add_argument("--topology", required=True, help="file (.toml), or name of a shipped topology")
        parser.add_argument("--folder", type=Path, required=True, help="of its own, for state, logs and data")
        parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="base address of the collector")
        parser.add_argument("--port", type=int, required=True, help="where drivers ask")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--journeys-per-s", type=_at_least_0, default=0.0, help="of users; 0 for none")
        parser.add_argument("--host-start-s", type=_at_least_0, default=2.0, help="seconds a host starts for")
        parser.add_argument("--users-at", default="", help="LATITUDE,LONGITUDE of the users, at first")
        parser.add_argument(
            "--collector", default="", help="URL of the collector's control API, for faults of telemetry"
        )
        parser.add_argument(
            "--registry", default="", help="URL of the registry that is told of demand, and of containers"
        )
        given = vars(parser.parse_args(arguments))
        return cls(
            **given,
            has_broker=bool(environment.get(_BROKER)),
            control_token=token_or_exit(environment, "launcher"),
        )


def _at_least_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        msg = f"{text} is not 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return value
