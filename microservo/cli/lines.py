"""One readable line for each kind of record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import singledispatch
from math import isnan, nan

from microservo.application.topics import Received
from microservo.cli.text import Line, Part, Styled, styled
from microservo.cli.times import clock_time
from microservo.domain.faults.units import format_duration
from microservo.domain.telemetry import log_columns, metric_columns, span_columns
from microservo.errors import InvalidMessage
from schemas.records import (
    ActionOutcome,
    AnomalyScore,
    Experiment,
    FaultEffect,
    FaultEvent,
    FaultRequest,
    FaultVerdict,
    FeatureWindow,
    Finding,
    Label,
    LabelledWindow,
    LogBatch,
    MetricBatch,
    ServiceAction,
    ServiceFault,
    ServiceGraph,
    SpanBatch,
    Truth,
    WindowAction,
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
_TRUTH_COLOURS: Mapping[Truth, str] = {"anomalous": "red", "masked": "yellow", "normal": "green"}
_OUTCOME_COLOURS: Mapping[ActionOutcome, str] = {"open": "yellow", "done": "green", "failed": "red"}
_FINDING_COLOURS: Mapping[Finding, str] = {"visible": "red", "not_visible": "green"}
_SHOWN: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("request/*/count", "requests", lambda value: f"{value:.0f}"),
    ("request/*/error_share", "errors", lambda value: f"{value:.0%}"),
    ("request/*/p99_ms", "p99", lambda value: f"{value:.0f} ms"),
    ("metric/process.cpu.utilization/mean", "cpu", lambda value: f"{value:.2f}"),
    ("metric/process.memory.usage/last", "memory", lambda value: f"{value / 2**20:.0f} MiB"),
)


def line_of(received: Received) -> Line:
    """A line for people: when, what, and the few values that say most."""
    when = (_dim(clock_time(received.message.timestamp_us)), "  ")
    unreadable = styled("unreadable", fg="red")
    if received.problem:
        return *when, unreadable, f" {received.problem}"
    if received.record is None:
        key = (received.message.key or b"").decode("utf-8", "replace")
        return *when, _dim("deleted"), f" {key}"
    try:
        return *when, *describe(received.record)
    except InvalidMessage as error:
        return *when, unreadable, f" {error}"


@singledispatch
def describe(record: object) -> Line:
    """What a record says, in one line without the time."""
    return (repr(record),)


@describe.register
def _(record: FaultRequest) -> Line:
    if record.action == "stop":
        return (f"stop {record.fault_id}",)
    where = ",".join(record.instances) or record.service
    duration = f" for {format_duration(record.duration_us)}" if record.duration_us else ""
    what = f"inject {record.kind} on {where}{duration}{_pairs(record.parameters)}  "
    return what, _dim(record.fault_id)


@describe.register
def _(record: FaultEvent) -> Line:
    verdict = "" if record.verdict == "pending" else f"  effect {record.verdict}"
    news = record.reason or _newest_evidence(record)
    why = f"  {news}" if news else ""
    where = record.instance or record.service
    what = f" {record.kind} on {where}{verdict}{why}  "
    return _state(record.state), what, _dim(record.fault_id)


@describe.register
def _(record: ServiceFault) -> Line:
    state = "recovered" if record.recovered_at_us else "active" if record.applied_at_us else "applying"
    root = record.role == "root_cause"
    role = "root cause" if root else f"{record.relation} of {record.root_service}, {record.hops} hops"
    return _state(state), f" {record.kind} at {record.service} ({role})  ", _dim(record.fault_id)


@describe.register
def _(record: FaultEffect) -> Line:
    where = f"{record.service} ({record.relation} of {record.root_service})"
    why = f"  {record.evidence}" if record.evidence else ""
    what = f" {where if record.relation != 'root' else record.service}{why}  "
    return (
        styled(f"{record.finding:<12}", fg=_FINDING_COLOURS.get(record.finding)),
        what,
        _dim(record.fault_id),
    )


@describe.register
def _(record: FaultVerdict) -> Line:
    why = f"  {record.evidence}" if record.evidence else ""
    return f"{record.verdict:<12}", f" fault on {record.service}{why}  ", _dim(record.fault_id)


@describe.register
def _(record: ServiceGraph) -> Line:
    calls, errors = sum(record.calls), sum(record.errors)
    return (f"graph of {len(record.callers)} edges, {calls} calls, {errors} failed",)


@describe.register
def _(record: MetricBatch) -> Line:
    points = len(metric_columns(record).time_us)
    return _service(record.service), f" {points} points of {len(record.names)} metrics"


@describe.register
def _(record: LogBatch) -> Line:
    lines = len(log_columns(record).time_us)
    first = f": {record.bodies[0]}" if record.bodies else ""
    return _service(record.service), f" {lines} lines{first}"


@describe.register
def _(record: SpanBatch) -> Line:
    columns = span_columns(record)
    return _service(record.service), f" {len(columns.time_us)} spans, {int(columns.error.sum())} failed"


@describe.register
def _(record: FeatureWindow) -> Line:
    return _window(record)


@describe.register
def _(record: LabelledWindow) -> Line:
    truth = styled(record.truth, fg=_TRUTH_COLOURS[record.truth])
    found = [truth, *map(_label, record.labels), *map(_act, record.actions)]
    return *_window(record), *_each_after("  ", found)


@describe.register
def _(record: ServiceAction) -> Line:
    where = "".join(
        f" {word} {name}" for word, name in (("from", record.from_host), ("to", record.to_host)) if name
    )
    why = f"  {record.why}" if record.why else ""
    what = f" {record.what}{where} by {record.decided_by}{why}  "
    return (
        styled(f"{record.outcome:<6}", fg=_OUTCOME_COLOURS[record.outcome]),
        _service(record.service),
        what,
        _dim(record.decision_id),
    )


@describe.register
def _(record: AnomalyScore) -> Line:
    span = f"{clock_time(record.start_us)[:-4]}-{clock_time(record.end_us)[:-4]}"
    late = f"{record.latency_us / 1000:.0f} ms after the window"
    return f"{span} ", _service(record.service), f" {record.algorithm} {record.score:.3g}  ", _dim(late)


@describe.register
def _(record: Experiment) -> Line:
    return (f"{record.run_id} {record.status}, target {record.target}, seed {record.seed}",)


def _newest_evidence(event: FaultEvent) -> str:
    """What was reported last: of the effect after the end, of the end after the beginning."""
    return event.effect_evidence or event.recovery_evidence or event.apply_evidence


def _window(record: FeatureWindow | LabelledWindow) -> Line:
    features = dict(zip(record.names, record.values, strict=True))
    shown = [
        f"{word} {write(value)}"
        for name, word, write in _SHOWN
        if not isnan(value := features.get(name, nan))
    ]
    if features.get("telemetry/silent"):
        shown.append("silent")
    span = f"{clock_time(record.start_us)[:-4]}-{clock_time(record.end_us)[:-4]}"
    revision = f" rev {record.revision}" if record.revision else ""
    what = ", ".join(shown) or f"{len(features)} features"
    return f"{span}{revision} ", _service(record.service), f" {what}"


def _label(label: Label) -> Styled:
    is_root = label.role == "root_cause"
    role = "root cause" if is_root else f"{label.role}, {label.hops} hops from {label.root_service}"
    what = f"{label.kind} {label.phase} {label.overlap:.0%} ({role}; {label.finding})"
    return styled(what, fg="red" if is_root else "yellow")


def _act(action: WindowAction) -> Styled:
    place = f" to {action.to_host}" if action.to_host else ""
    return styled(f"{action.what}{place} {action.overlap:.0%} (by {action.decided_by})", fg="cyan")


def _state(state: str) -> Styled:
    return styled(f"{state:<10}", fg=STATE_COLOURS.get(state))


def _service(name: str) -> Styled:
    return styled(f"{name:<22}", bold=True)


def _dim(text: str) -> Styled:
    return styled(text, dim=True)


def _pairs(parameters: Mapping[str, str]) -> str:
    return "".join(f" {name}={value}" for name, value in sorted(parameters.items()))


def _each_after(separator: str, parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield separator
        yield part
