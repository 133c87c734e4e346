"""The options that `up` and `demo` share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from microservo.application.topics import DEFAULT_PARTITIONS
from microservo.cli.completions import complete_topology
from microservo.cli.session import Session
from microservo.errors import InvalidInput
from microservo.supervision.system_file import DEFAULT_SYSTEM
from microservo.system import SystemOptions

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--seed", type=int, default=7, show_default=True, help="Of everything random in the run."),
    click.option(
        "--journeys-per-s",
        type=click.FloatRange(min=0, max=200),
        default=8.0,
        show_default=True,
        help="Users' journeys per second.",
    ),
    click.option(
        "--partitions",
        type=click.IntRange(min=1, max=64),
        default=DEFAULT_PARTITIONS,
        show_default=True,
        help="Of each topic that has to be made.",
    ),
    click.option(
        "--topology",
        default="online-boutique",
        show_default=True,
        metavar="NAME|FILE.toml",
        shell_complete=complete_topology,
        help="Target system to run; `microservo topology list` shows which there are.",
    ),
)


def system_options(command: Decorated) -> Decorated:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_name(name: str | None, system: str | None, default: str) -> str:
    """The name given by either option.

    Raises:
        InvalidInput: both are given and differ.
    """
    if name and system and name != system:
        msg = f"--system {system} and --name {name} differ; give one of them"
        raise InvalidInput(msg)
    return name or system or default


def options_of(session: Session, *, name: str, **given: Any) -> SystemOptions:
    """The options of a system, with broker and prefix from the command line or the environment.

    Systems of different names share a broker of one's own only under different prefixes, so a name other than
    the default is one.
    """
    servers = session.bootstrap_servers or os.environ.get("MICROSERVO_BOOTSTRAP_SERVERS")
    prefix = session.topic_prefix
    if prefix is None:
        prefix = os.environ.get("MICROSERVO_TOPIC_PREFIX")
    if prefix is None:
        prefix = f"{name}-" if servers and name != DEFAULT_SYSTEM else ""
    return SystemOptions(name=name, bootstrap_servers=servers, topic_prefix=prefix, **given)
