"""What the commands of one call share: the global options, and how they have commands carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from microservo.application.command import Command, Context
    from microservo.application.connection import Connection
    from microservo.application.progress import Progress

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

    def execute(self, command: Command[T], progress: Progress | None = None) -> T:
        """What comes of a command on the system that the options name.

        Raises:
            Unavailable: there is none, and the command needs one.
            MicroServoError: the command can't be carried out.
        """
        # Here and not above: what they need takes a while to load, and `main` has to look at it first.
        from microservo.application.table import execute  # noqa: PLC0415

        context = self._context()
        return execute(command, context if progress is None else context.with_progress(progress))

    def connection(self) -> Connection:
        """The broker that the options name, or that of the running system.

        Raises:
            Unavailable: nothing was named, and no system runs.
            InvalidInput: the settings of the broker contradict one another.
        """
        return self._context().connection

    def _context(self) -> Context:
        if self.make_context is not None:
            return self.make_context()
        from microservo.application.command import Context  # noqa: PLC0415  # as above
        from microservo.application.connection import connect  # noqa: PLC0415

        return Context(
            lambda: connect(self.bootstrap_servers, system=self.system, topic_prefix=self.topic_prefix)
        )


pass_session = click.make_pass_decorator(Session)
