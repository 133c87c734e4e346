"""`client.runs`."""

from __future__ import annotations

from microservo.application.command import Context
from microservo.application.runs import ListRuns
from microservo.application.table import execute
from schemas.records import Experiment


class Runs:
    """List runs."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self) -> tuple[Experiment, ...]:
        """The newest state of every run, in order of their start."""
        return execute(ListRuns(), self._context)
