"""One readable line for each kind of record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch

import click

from microservo.cli.times import clock_time
from microservo.domain.faults.units import format_duration
from microservo.domain.telemetry import log_columns, metric_columns, span_columns
from microservo.errors import InvalidMessage
from microservo.log.subscription import Received
from schemas.records import (
    AnomalyScore,
    Experiment,
    FaultEvent,
    FaultRequest,
    FeatureWindow,
    Label,
    LabelledWindow,
    LogBatch,
    MetricBatch,
    ServiceFault,
    ServiceGraph,
    SpanBatch,
)

STATE_COLOURS: Mapping[str, str] = {
    "rejected": "red",
    "failed": "red",
    "applying": "yellow",
    "active": "magenta",
    "recovering": "yellow",
    "recovered": "green",
    "stopped": "green",
}
_TELLING: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("request/*/count", "requests", lambda value: f"{value:.0f}"),
    ("request/*/error_share", "errors", lambda value: f"{value:.0%}"),
    ("request/*/p99_ms", "p99", lambda value: f"{value:.0f} ms"),
    ("metric/process.cpu.utilization/mean", "cpu", lambda value: f"{value:.2f}"),
    ("metric/process.memory.usage/last", "memory", lambda value: f"{value / 2**20:.0f} MiB"),
)


def line_of(received: Received) -> str:
    """A line for people: when, what, and the few values that tell most."""
    when = click.style(clock_time(received.message.timestamp_us), dim=True)
    if received.problem:
        return f"{when}  {click.style('unreadable', fg='red')} {received.problem}"
    if received.record is None:
        key = (received.message.key or b"").decode("utf-8", "replace")
        return f"{when}  {click.style('deleted', dim=True)} {key}"
    try:
        return f"{when}  {describe(received.record)}"
    except InvalidMessage as error:
        return f"{when}  {click.style('unreadable', fg='red')} {error}"


@singledispatch
def describe(record: object) -> str:
    """What a record says, in one line without the time."""
    return repr(record)


@describe.register
def _(record: FaultRequest) -> str:
    if record.action == "stop":
        return f"stop {record.fault_id}"
    where = ",".join(record.instances) or record.service
    duration = f" for {format_duration(record.duration_us)}" if record.duration_us else ""
    return f"inject {record.kind} on {where}{duration}{_pairs(record.parameters)}  {_dim(record.fault_id)}"


@describe.register
def _(record: FaultEvent) -> str:
    verdict = "" if record.verdict == "pending" else f"  effect {record.verdict}"
    why = f"  {record.reason or record.evidence}" if record.reason or record.evidence else ""
    where = record.instance or record.service
    return f"{_state(record.state)} {record.kind} on {where}{verdict}{why}  {_dim(record.fault_id)}"


@describe.register
def _(record: ServiceFault) -> str:
    state = "recovered" if record.recovered_at_us else "active" if record.applied_at_us else "applying"
    role = "root cause" if record.role == "root_cause" else f"{record.hops} hops from {record.root_service}"
    return f"{_state(state)} {record.kind} at {record.service} ({role})  {_dim(record.fault_id)}"


@describe.register
def _(record: ServiceGraph) -> str:
    calls, errors = sum(record.calls), sum(record.errors)
    return f"graph of {len(record.callers)} edges, {calls} calls, {errors} failed"


@describe.register
def _(record: MetricBatch) -> str:
    points = len(metric_columns(record).time_us)
    return f"{_service(record.service)} {points} points of {len(record.names)} metrics"


@describe.register
def _(record: LogBatch) -> str:
    lines = len(log_columns(record).time_us)
    first = f": {record.bodies[0]}" if record.bodies else ""
    return f"{_service(record.service)} {lines} lines{first}"


@describe.register
def _(record: SpanBatch) -> str:
    columns = span_columns(record)
    return f"{_service(record.service)} {len(columns.time_us)} spans, {int(columns.error.sum())} failed"


@describe.register
def _(record: FeatureWindow) -> str:
    return _window(record)


@describe.register
def _(record: LabelledWindow) -> str:
    labels = "  ".join(_label(label) for label in record.labels) or click.style("normal", fg="green")
    return f"{_window(record)}  {labels}"


@describe.register
def _(record: AnomalyScore) -> str:
    span = f"{clock_time(record.start_us)[:-4]}-{clock_time(record.end_us)[:-4]}"
    late = f"{record.latency_us / 1000:.0f} ms after the window"
    return f"{span} {_service(record.service)} {record.algorithm} {record.score:.3g}  {_dim(late)}"


@describe.register
def _(record: Experiment) -> str:
    return f"{record.run_id} {record.status}, target {record.target}, seed {record.seed}"


def _window(record: FeatureWindow | LabelledWindow) -> str:
    features = dict(zip(record.names, record.values, strict=True))
    told = [f"{word} {write(features[name])}" for name, word, write in _TELLING if name in features]
    span = f"{clock_time(record.start_us)[:-4]}-{clock_time(record.end_us)[:-4]}"
    revision = f" rev {record.revision}" if record.revision else ""
    return f"{span}{revision} {_service(record.service)} {', '.join(told) or f'{len(features)} features'}"


def _label(label: Label) -> str:
    role = "root cause" if label.role == "root_cause" else f"{label.hops} hops from {label.root_service}"
    colour = "red" if label.role == "root_cause" else "yellow"
    return click.style(f"{label.kind} {label.phase} {label.overlap:.0%} ({role})", fg=colour)


def _state(state: str) -> str:
    return click.style(f"{state:<10}", fg=STATE_COLOURS.get(state))


def _service(name: str) -> str:
    return click.style(f"{name:<22}", bold=True)


def _dim(text: str) -> str:
    return click.style(text, dim=True)


def _pairs(parameters: Mapping[str, str]) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(parameters.items()))
