"""What can be asked for about runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microservo.application.catalogue_lists import from_catalogue
from microservo.application.command import Command, Context
from microservo.errors import InvalidInput
from schemas.catalogue import EXPERIMENTS
from schemas.records import Experiment, GoneService, RunWriter

LATEST_RUN = "latest"
"""Stands for the id of the run that began last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRuns(Command[tuple[Experiment, ...]]):
    """Asks for the newest state of every run, in order of their start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListWriters(Command[tuple[RunWriter, ...]]):
    """Asks who writes each joined topic of a run, and from when until when.

    Attributes:
        run_id: the run; the newest by default.
    """

    run_id: str = LATEST_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReadUntil(Command[Mapping[str, int]]):
    """Asks how far the sources of a run have read that follow a store.

    Attributes:
        run_id: the run; the newest by default.
    """

    run_id: str = LATEST_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireWriter(Command[tuple[RunWriter, ...]]):
    """Ends the part of a writer that was stopped for good: windows wait for it no longer.

    It can't come back to the run.

    Attributes:
        writer: its name.
        run_id: the run; the newest by default.
    """

    writer: str
    run_id: str = LATEST_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireService(Command[GoneService]):
    """Declares that a service that pushed telemetry is gone: its silence shows in windows no longer.

    If it sends again, it is known again.

    Attributes:
        service: its name.
        run_id: the run; the newest by default.
    """

    service: str
    run_id: str = LATEST_RUN


def list_runs(_command: ListRuns, context: Context) -> tuple[Experiment, ...]:
    """The runs, by the catalogue where that is there, up to date and quicker, else by the topic."""
    connection = context.connection
    found = from_catalogue(connection, (EXPERIMENTS,), lambda catalogue: catalogue.runs())
    if found is not None:
        return tuple(found)
    from microservo.log.runs import runs  # noqa: PLC0415  # loads NumPy, which most acts don't need

    return tuple(runs(connection.broker, connection.topic_prefix))


def list_writers(command: ListWriters, context: Context) -> tuple[RunWriter, ...]:
    """The writers, in the order in which they were declared.

    Raises:
        InvalidInput: there is no such run.
    """
    known = list_runs(ListRuns(), context)
    run_id = _newest(known) if command.run_id == LATEST_RUN else command.run_id
    run = next((each for each in known if each.run_id == run_id), None)
    if run is None:
        newest = ", ".join(each.run_id for each in known[-5:]) or "none"
        msg = f"there is no run {run_id!r}; the newest are: {newest}"
        raise InvalidInput(msg)
    return tuple(run.writers)


def list_read_until(command: ListReadUntil, context: Context) -> Mapping[str, int]:
    """By writer, the instant up to which all that was there in time is on the topics, microseconds UTC.

    Raises:
        InvalidInput: there is no run yet.
        Retryable: the broker is away for now.
    """
    from microservo.log.source_cursors import read_cursors  # noqa: PLC0415  # as above

    connection = context.connection
    run_id = run_id_of(command.run_id, context)
    try:
        found = read_cursors(connection.broker, connection.topic_prefix).values()
    except InvalidInput:
        return {}  # a broker from before there were sources has no topic of theirs
    # Of some it is not known: what a topic of others holds has no order of time.
    return {each.source: each.until_us for each in found if each.run_id == run_id and each.until_us}


def retire_writer(command: RetireWriter, context: Context) -> tuple[RunWriter, ...]:
    """What the run says of the writer now, for each topic that it wrote.

    Raises:
        InvalidInput: there is no such run or writer, or it still writes.
        Retryable: the broker is away for now; what was not done yet is done by another call.
    """
    from microservo.log import writers  # noqa: PLC0415  # as above

    run_id = run_id_of(command.run_id, context)
    writers.retire_writer(
        context.connection.broker,
        run_id=run_id,
        writer=command.writer,
        process="client",
        clock=context.clock,
        topic_prefix=context.connection.topic_prefix,
    )
    found = list_writers(ListWriters(run_id=run_id), context)
    return tuple(each for each in found if each.writer == command.writer)


def retire_service(command: RetireService, context: Context) -> GoneService:
    """What the run says of the service now.

    Raises:
        InvalidInput: there is no such run, it is over, or nothing is known of the service.
        Retryable: the broker is away for now; try again.
    """
    from microservo.log import gone_services  # noqa: PLC0415  # as above

    return gone_services.retire_service(
        context.connection.broker,
        run_id=run_id_of(command.run_id, context),
        service=command.service,
        process="client",
        clock=context.clock,
        topic_prefix=context.connection.topic_prefix,
    )


def run_id_of(name: str, context: Context) -> str:
    """The id of a run by its name: itself, or that of the newest for "latest".

    Raises:
        InvalidInput: the newest is asked for, and there is none.
    """
    return _newest(list_runs(ListRuns(), context)) if name == LATEST_RUN else name


def running_run(context: Context) -> Experiment | None:
    """The run that goes on and began last, if there is one."""
    going_on = [run for run in list_runs(ListRuns(), context) if run.status == "running"]
    return going_on[-1] if going_on else None


def _newest(known: tuple[Experiment, ...]) -> str:
    if not known:
        msg = "there is no run yet; `microservo demo` makes one"
        raise InvalidInput(msg)
    return known[-1].run_id
