from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from click.testing import Result

from microservo.log.subscription import Subscription
from microservo.testing import MemoryBroker
from schemas.records import (
    AnomalyScore,
    Experiment,
    FaultEffect,
    FaultEvent,
    FaultRequest,
    FaultVerdict,
    FeatureWindow,
    Label,
    LabelledWindow,
    LogBatch,
    MetricBatch,
    ServiceAction,
    ServiceFault,
    ServiceGraph,
    SpanBatch,
    WindowAction,
)

NOON_US = 1_800_000_000_000_000
Run = Callable[..., Result]
Put = Callable[..., None]
NAMES = (
    "metric/process.cpu.utilization/mean",
    "request/*/count",
    "request/*/error_share",
    "request/*/p99_ms",
)
WINDOW = FeatureWindow(
    run_id="run-1",
    service="cartservice",
    start_us=NOON_US,
    end_us=NOON_US + 5_000_000,
    revision=0,
    names=NAMES,
    values=(0.25, 40.0, 0.1, 31.0),
)
LABEL = Label(
    fault_id="f-1",
    kind="network-delay",
    role="affected",
    root_service="redis-cart",
    hops=1,
    phase="active",
    overlap=0.6,
    severity=0.5,
    finding="visible",
    visible=0.4,
)
LABELLED = LabelledWindow(
    run_id="run-1",
    service="cartservice",
    start_us=NOON_US,
    end_us=NOON_US + 5_000_000,
    revision=1,
    names=NAMES,
    values=(0.25, 40.0, 0.1, 31.0),
    labels=(LABEL,),
    visible=0.4,
    role="affected",
    truth="anomalous",
)
CLEAR = replace(LABELLED, labels=(), visible=0.0, role=None, truth="normal")
EFFECT = FaultEffect(
    run_id="run-1",
    fault_id="f-1",
    service="frontend",
    version=3,
    root_service="cartservice",
    relation="caller",
    finding="visible",
    starts_us=(NOON_US,),
    ends_us=(NOON_US,),
    is_open=True,
    through_us=NOON_US,
    is_final=False,
    evidence="calls took 330 ms instead of 30 ms",
)
VERDICT = FaultVerdict(
    run_id="run-1",
    fault_id="f-1",
    service="cartservice",
    version=1,
    verdict="confirmed",
    evidence="frontend moved",
)
SCORE = AnomalyScore(
    run_id="run-1",
    service="cartservice",
    start_us=NOON_US,
    end_us=NOON_US + 5_000_000,
    revision=0,
    algorithm="n-sigma",
    score=math.nan,
    scored_at_us=NOON_US,
    latency_us=45_000,
)
REQUEST = FaultRequest(
    fault_id="f-1",
    action="inject",
    requested_at_us=NOON_US,
    kind="network-delay",
    service="cartservice",
    parameters={"latency": "300ms"},
    duration_us=20_000_000,
)
STOP = FaultRequest(fault_id="f-1", action="stop", requested_at_us=NOON_US)
EVENT = FaultEvent(
    run_id="run-1",
    fault_id="f-1",
    version=4,
    kind="network-delay",
    service="cartservice",
    instance="cartservice-0",
    state="active",
    at_us=NOON_US,
    requested_at_us=NOON_US,
    duration_us=1,
    parameters={},
    verdict="confirmed",
    apply_evidence="in force on 3 connections",
)
SERVICE_FAULT = ServiceFault(
    run_id="run-1",
    fault_id="f-1",
    version=4,
    kind="network-delay",
    service="frontend",
    root_service="cartservice",
    role="exposed",
    hops=1,
    severity=0.5,
    requested_at_us=NOON_US,
    applied_at_us=NOON_US,
)
ACTION = ServiceAction(
    run_id="run-1",
    service="cartservice",
    decision_id="migrate-1",
    version=3,
    manager="master",
    policy="rules",
    what="move",
    origin="rule",
    decided_by="follow-demand",
    why="cpu-% 12 >= 0",
    decided_us=NOON_US,
    from_host="berlin",
    to_host="tokyo",
    outcome="done",
)
MOVED = replace(
    CLEAR,
    actions=(
        WindowAction(
            decision_id="migrate-1",
            what="move",
            origin="rule",
            decided_by="follow-demand",
            why="cpu-% 12 >= 0",
            to_host="tokyo",
            overlap=0.4,
        ),
    ),
)
GRAPH = ServiceGraph(
    run_id="run-1",
    start_us=NOON_US,
    end_us=NOON_US,
    callers=("a", "b"),
    callees=("b", "c"),
    calls=(3, 4),
    errors=(0, 1),
)
RUN = Experiment(
    run_id="run-1",
    status="running",
    seed=7,
    target="online-boutique",
    started_at_us=NOON_US,
    window_us=1,
    first_cut_us=1,
    final_cut_us=1,
    start_offsets={},
    end_offsets={},
    versions={},
)
TIMES = np.array([1, 2], "<i8").tobytes()
INDEX = np.zeros(2, "<u2").tobytes()
METRICS = MetricBatch(
    run_id="run-1",
    service="cartservice",
    instances=("cartservice-0",),
    names=("cpu",),
    time_us=TIMES,
    instance=INDEX,
    name=INDEX,
    value=np.zeros(2, "<f8").tobytes(),
)
LOGS = LogBatch(
    run_id="run-1",
    service="cartservice",
    instances=("cartservice-0",),
    templates=("got <n>",),
    time_us=TIMES,
    instance=INDEX,
    severity=bytes(2),
    template=INDEX,
    trace_id=bytes(32),
    span_id=bytes(16),
    bodies=("got 1", "got 2"),
)
SPANS = SpanBatch(
    run_id="run-1",
    service="cartservice",
    instances=("cartservice-0",),
    endpoints=("GetCart",),
    peers=("",),
    start_us=TIMES,
    duration_us=TIMES,
    instance=INDEX,
    endpoint=INDEX,
    peer=INDEX,
    kind=b"\x02\x02",
    error=b"\x00\x01",
    trace_id=bytes(32),
    span_id=bytes(16),
    parent_id=bytes(16),
)
CASES = [
    ("feature-windows", WINDOW, ["cartservice", "requests 40", "errors 10%", "p99 31 ms", "cpu 0.25"]),
    (
        "labelled-windows",
        LABELLED,
        ["rev 1", "anomalous", "network-delay active 60% (affected, 1 hops from redis-cart; visible)"],
    ),
    ("labelled-windows", CLEAR, ["rev 1", "normal"]),
    ("labelled-windows", MOVED, ["normal", "move to tokyo 40% (by follow-demand)"]),
    (
        "service-actions",
        ACTION,
        ["done", "cartservice", "move from berlin to tokyo by follow-demand", "migrate-1"],
    ),
    ("fault-effects", EFFECT, ["visible", "frontend (caller of cartservice)", "330 ms instead of 30 ms"]),
    ("fault-effects", VERDICT, ["confirmed", "fault on cartservice", "frontend moved"]),
    ("anomaly-scores", SCORE, ["n-sigma nan", "45 ms after the window"]),
    ("fault-requests", REQUEST, ["inject network-delay on cartservice for 20s latency=300ms"]),
    ("fault-requests", STOP, ["stop f-1"]),
    ("fault-events", EVENT, ["active", "cartservice-0", "effect confirmed", "in force on 3 connections"]),
    ("service-faults", SERVICE_FAULT, ["active", "frontend (caller of cartservice, 1 hops)"]),
    ("service-graph", GRAPH, ["2 edges, 7 calls, 1 failed"]),
    ("experiments", RUN, ["run-1 running, target online-boutique, seed 7"]),
    ("telemetry-metrics", METRICS, ["2 points of 1 metrics"]),
    ("telemetry-logs", LOGS, ["2 lines: got 1"]),
    ("telemetry-traces", SPANS, ["2 spans, 1 failed"]),
]


@pytest.mark.parametrize(("topic", "record", "parts"), CASES, ids=lambda case: type(case).__name__)
def test_each_record_is_one_line_with_what_matters(
    run: Run, put: Put, topic: str, record: object, parts: list[str]
) -> None:
    put(topic, "k", record)
    result = run("subscribe", topic, "--from", "earliest", "--until-end")
    (line,) = result.stdout.splitlines()
    assert result.exit_code == 0
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(("topic", "record", "parts"), CASES, ids=lambda case: type(case).__name__)
def test_each_record_is_one_strict_json_document(
    run: Run, put: Put, topic: str, record: object, parts: list[str]
) -> None:
    put(topic, "k", record)
    (line,) = run("subscribe", topic, "--from", "earliest", "--until-end", "--json").stdout.splitlines()
    document = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (document["topic"], document["key"], document["type"]) == (topic, "k", type(record).__name__)
    assert document["record"]


def test_what_cannot_be_read_is_said_and_does_not_end_the_reading(
    run: Run, put: Put, broker: MemoryBroker
) -> None:
    broker.producer().send("fault-events", key=b"k", value=b"rubbish")
    broken = replace(LOGS, severity=b"\x00")
    put("telemetry-logs", "k", broken, LOGS)
    assert "unreadable" in run("subscribe", "fault-events", "--from", "earliest", "--until-end").stdout
    lines = run("subscribe", "telemetry-logs", "--from", "earliest", "--until-end").stdout.splitlines()
    assert ["unreadable" in line for line in lines] == [True, False]


@pytest.mark.parametrize(
    ("topic", "good", "uneven"),
    [
        ("labelled-windows", LABELLED, replace(LABELLED, values=LABELLED.values[1:])),
        ("service-graph", GRAPH, replace(GRAPH, errors=())),
    ],
    ids=["window", "graph"],
)
def test_a_record_whose_columns_differ_in_length_is_said_and_the_reading_goes_on(
    run: Run, put: Put, topic: str, good: object, uneven: object
) -> None:
    put(topic, "k", uneven, good)
    result = run("subscribe", topic, "--from", "earliest", "--until-end")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert ["unreadable" in line for line in lines] == [True, False]
    assert "one per" in lines[0]


def test_a_limit_ends_the_reading(run: Run, put: Put) -> None:
    put("fault-events", "k", EVENT, EVENT, EVENT)
    assert (
        len(run("subscribe", "fault-events", "--from", "earliest", "--limit", "2").stdout.splitlines()) == 2
    )


def test_an_instant_begins_the_reading(run: Run, put: Put) -> None:
    put("fault-events", "k", EVENT)
    later = run("subscribe", "fault-events", "--from", "2027-02-01T00:00:00Z", "--until-end")
    earlier = run("subscribe", "fault-events", "--from", "2027-01-01T00:00:00Z", "--until-end")
    assert (later.stdout, len(earlier.stdout.splitlines())) == ("", 1)


@pytest.mark.parametrize("start", ["yesterday", "2026-01-31T12:00:00"])
def test_a_start_that_is_no_instant_is_refused(run: Run, start: str) -> None:
    result = run("subscribe", "fault-events", "--from", start)
    assert (result.exit_code, result.stderr.startswith("error: ")) == (2, True)


def test_an_unknown_topic_is_refused_with_those_that_are(run: Run) -> None:
    result = run("subscribe", "labeled-windows")
    assert result.exit_code == 2
    assert "labelled-windows" in result.stderr


def test_an_interrupt_ends_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: Subscription) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Subscription, "__next__", interrupted)
    result = run("subscribe", "fault-events")
    assert result.exit_code == 130
    assert result.stdout + result.stderr.strip() == ""
