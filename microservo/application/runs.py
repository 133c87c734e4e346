"""What can be asked for about runs."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.application.command import Command, Context
from microservo.errors import InvalidInput
from schemas.records import Experiment

LATEST_RUN = "latest"
"""Stands for the id of the run that began last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRuns(Command[tuple[Experiment, ...]]):
    """Asks for the newest state of every run, in order of their start."""


def list_runs(_command: ListRuns, context: Context) -> tuple[Experiment, ...]:
    """The runs."""
    from microservo.log.runs import runs  # noqa: PLC0415  # loads NumPy, which most acts don't need

    return tuple(runs(context.connection.broker, context.connection.topic_prefix))


def run_id_of(name: str, context: Context) -> str:
    """The id of a run by its name: itself, or that of the newest for "latest".

    Raises:
        InvalidInput: the newest is asked for, and there is none.
    """
    if name != LATEST_RUN:
        return name
    known = list_runs(ListRuns(), context)
    if not known:
        msg = "there is no run yet; `microservo demo` makes one"
        raise InvalidInput(msg)
    return known[-1].run_id
