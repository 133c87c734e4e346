"""`client.runs`."""

from __future__ import annotations

from microservo.application.command import Context
from microservo.application.runs import LATEST_RUN, ListRuns, ListWriters, RetireService, RetireWriter
from microservo.application.table import execute
from schemas.records import Experiment, GoneService, RunWriter


class Runs:
    """List runs and their writers, and retire a writer or a service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def list(self) -> tuple[Experiment, ...]:
        """The newest state of every run, in order of their start."""
        return execute(ListRuns(), self._context)

    def writers(self, run_id: str = LATEST_RUN) -> tuple[RunWriter, ...]:
        """Who writes each joined topic of a run, and from when until when.

        Raises:
            InvalidInput: there is no such run.
        """
        return execute(ListWriters(run_id=run_id), self._context)

    def retire_writer(self, writer: str, run_id: str = LATEST_RUN) -> tuple[RunWriter, ...]:
        """Ends the part of a writer that was stopped for good, and returns what the run says of it now.

        Windows wait for it no longer, and it can't come back to the run.

        Raises:
            InvalidInput: there is no such run or writer, or it still writes.
            Retryable: the broker is away for now; what was not done yet is done by another call.
        """
        return execute(RetireWriter(writer=writer, run_id=run_id), self._context)

    def retire_service(self, service: str, run_id: str = LATEST_RUN) -> GoneService:
        """Declares that a service that pushed telemetry is gone: its silence shows in windows no longer.

        If it sends again, it is known again.

        Raises:
            InvalidInput: there is no such run, it is over, or nothing is known of the service.
            Retryable: the broker is away for now; try again.
        """
        return execute(RetireService(service=service, run_id=run_id), self._context)
