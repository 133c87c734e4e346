"""What the commands of one call share: the global options, and how they have commands carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import click

from microservo.application.command import Command, Context
from microservo.application.connection import connect
from microservo.application.progress import SILENT, Progress
from microservo.application.table import execute

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The global options.

    Attributes:
        make_context: used instead of connecting, for tests.
    """

    bootstrap_servers: str | None = None
    topic_prefix: str | None = None
    system: str | None = None
    make_context: Callable[[], Context] | None = field(default=None, repr=False)

    def execute(self, command: Command[T], progress: Progress = SILENT) -> T:
        """What comes of a command on the system that the options name.

        Raises:
            Unavailable: there is none, and the command needs one.
            MicroServoError: the command can't be carried out.
        """
        return execute(command, self._context().with_progress(progress))

    def _context(self) -> Context:
        if self.make_context is not None:
            return self.make_context()
        return Context(
            lambda: connect(self.bootstrap_servers, system=self.system, topic_prefix=self.topic_prefix)
        )


pass_session = click.make_pass_decorator(Session)
