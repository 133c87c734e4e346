"""What the commands of one call share: the global options, and a client made when first needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from microservo.client import Client

_PLAIN_WIDTH = 180
"""Columns of a table that no terminal shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The global options.

    Attributes:
        make_client: used instead of connecting, for tests.
    """

    bootstrap_servers: str | None = None
    topic_prefix: str | None = None
    system: str | None = None
    make_client: Callable[[], Client] | None = field(default=None, repr=False)

    def client(self) -> Client:
        """A client of the system that the options name.

        Raises:
            Unavailable: there is none.
        """
        if self.make_client is not None:
            return self.make_client()
        # Here and not above: what it needs takes half a second to load, and `--help` needs none of it.
        from microservo.client import Client  # noqa: PLC0415

        return Client(self.bootstrap_servers, system=self.system, topic_prefix=self.topic_prefix)


pass_session = click.make_pass_decorator(Session)


def console(*, stderr: bool = False) -> Console:
    """A console for tables and progress; colours only on a terminal and without NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False)
