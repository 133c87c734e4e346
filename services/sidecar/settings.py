"""The settings of one sidecar, from its command line.

Plain argparse: pydantic would cost memory in a process that exists once per instance.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from microservo.platforms.local.token import token_or_exit


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """The ports of one sidecar (all on the loopback interface) and the seed of its chances."""

    instance: str
    listen_port: int
    upstream_host: str
    upstream_port: int
    admin_port: int
    seed: int = 0
    place: str = ""
    control_token: str = field(repr=False)

    @classmethod
    def from_arguments(
        cls, arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
    ) -> Self:
        """The settings from `arguments` (default: the command line), and the token from the environment.

        Exits with usage when they are wrong.
        """
        given = _parser().parse_args(arguments)
        host, port = given.upstream
        return cls(
            instance=given.instance,
            listen_port=given.listen,
            upstream_host=host,
            upstream_port=port,
            admin_port=given.admin_port,
            seed=given.seed,
            place=given.place,
            control_token=token_or_exit(environment, "sidecar"),
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.sidecar", description="the proxy of one instance"
    )
    parser.add_argument("--instance", required=True, help="whose path this is, e.g. cartservice-0")
    parser.add_argument("--listen", type=int, required=True, help="port that callers use")
    parser.add_argument("--upstream", type=_address, required=True, help="host:port of the instance")
    parser.add_argument("--admin-port", type=int, required=True, help="port of the fault control API")
    parser.add_argument("--seed", type=int, default=0, help="seed of every chance taken here")
    parser.add_argument("--place", default="", help="where it is, as latitude,longitude; no distance without")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        message = f"{text!r} is not host:port, e.g. 127.0.0.1:8080"
        raise argparse.ArgumentTypeError(message)
    return host, int(port)
