"""The same log gives the same dataset."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_run import create_topics, end_offsets, experiment, record_run
from synthetic import LOAD_GENERATOR, START_US, Story, actions, messages

from microservo.adapters.broker import Consumer, TopicSpec
from microservo.datasets import content_hash, rebuild, runs, verify, verify_against_live
from microservo.datasets.facts import ledger_rows
from microservo.datasets.faults import faults_table
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.manifest import Manifest
from microservo.errors import InvalidInput, OffsetGap, Retryable, Unavailable
from microservo.log.ranges import read_ranges
from microservo.log.runs import RunLog, run_log
from microservo.testing import MemoryBroker
from schemas import catalogue
from schemas.codec import decode_as, encode
from schemas.envelope import Stamp
from schemas.records import (
    Experiment,
    FaultEvent,
    FaultVerdict,
    LabelledWindow,
    MetricBatch,
    ServiceGraph,
    ServiceInstance,
)

STORY = Story(seconds=90)


def instance(run_id: str, service: str, *, seen_us: int, kind: str) -> ServiceInstance:
    return ServiceInstance(
        run_id=run_id,
        service=service,
        instance="i",
        kind=kind,
        seen_us=seen_us,
        name=service,
        host="h",
        scopes=("s",),
        **dict.fromkeys(
            ("namespace", "version", "environment", "pod", "container", "pid", "executable", "language"), ""
        ),
        region="",
    )


def built(story: Story, folder: Path, *, partitions: int = 3, batch: int = 1000) -> Manifest:
    broker = MemoryBroker()
    record_run(broker, story, partitions=partitions)
    return rebuild(broker, run_id=story.run_id, out_dir=folder, batch=batch)


def test_two_rebuilds_give_the_same_bytes(recorded: MemoryBroker, original: Path, tmp_path: Path) -> None:
    rebuild(recorded, run_id="run-1", out_dir=tmp_path / "again")
    names = sorted(path.name for path in original.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (original / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


@pytest.mark.parametrize("partitions", [1, 12])
def test_the_number_of_partitions_does_not_matter(original: Path, tmp_path: Path, partitions: int) -> None:
    manifest = built(STORY, tmp_path / "other", partitions=partitions)
    assert manifest.content_hash == content_hash(original)
    assert verify(tmp_path / "other") == []


@pytest.mark.parametrize("batch", [1, 7, 333])
def test_how_many_messages_are_read_at_a_time_does_not_matter(
    recorded: MemoryBroker, original: Path, tmp_path: Path, batch: int
) -> None:
    manifest = rebuild(recorded, run_id="run-1", out_dir=tmp_path / "other", batch=batch)
    assert manifest.content_hash == content_hash(original)


def test_how_records_were_packed_does_not_matter(original: Path, tmp_path: Path) -> None:
    assert built(replace(STORY, batch=3), tmp_path / "other").content_hash == content_hash(original)


def test_another_run_before_and_around_does_not_matter(original: Path, tmp_path: Path) -> None:
    broker = MemoryBroker()
    record_run(broker, replace(STORY, run_id="run-0", seed=1, seconds=30, start_us=START_US - 90_000_000))
    record_run(broker, STORY)
    manifest = rebuild(broker, run_id="run-1", out_dir=tmp_path / "other")
    assert manifest.content_hash == content_hash(original)
    assert [run.run_id for run in runs(broker)] == ["run-0", "run-1"]


def test_another_seed_gives_another_content(original: Path, tmp_path: Path) -> None:
    assert built(replace(STORY, seed=8), tmp_path / "other").content_hash != content_hash(original)


def test_the_tables_hold_what_the_writers_sent(original: Path) -> None:
    metrics = pq.read_table(original / "metrics.parquet")
    ledger = list(ledger_rows(original / "ledger.parquet"))
    kept = sum(row.in_windows + row.late for row in ledger if row.source == catalogue.TELEMETRY_METRICS)
    late = sum(row.late for row in ledger if row.source == catalogue.TELEMETRY_METRICS)
    assert metrics.num_rows == kept
    assert sum(metrics.column("late").to_pylist()) == late > 0
    times = metrics.column("time").cast(pa.int64()).to_pylist()
    places = [
        (time - time % 5_000_000, service, time)
        for time, service in zip(times, metrics.column("service").to_pylist(), strict=True)
    ]
    assert places == sorted(places)
    assert set(metrics.column("name").to_pylist()) == {"cpu", "memory", "queue"}
    assert sum(row.dropped for row in ledger) > 0


def test_texts_and_ids_come_out_as_they_went_in(original: Path) -> None:
    for row in pq.read_table(original / "logs.parquet").slice(0, 50).to_pylist():
        number = int(row["body"].split()[1])
        assert row["trace_id"] == (number.to_bytes(16, "little").hex() if number else None)
        assert row["span_id"] == (number.to_bytes(8, "little").hex() if number else None)
        assert row["template"] == ("request <*> failed" if number % 9 == 0 else "request <*> done")
        assert row["severity"] == (17 if number % 9 == 0 else 9)


def test_records_whose_columns_differ_in_length_are_left_out_and_the_dataset_is_built(
    original: Path, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    run = record_run(broker, STORY)
    uneven = ServiceGraph(
        run_id="run-1", start_us=START_US, end_us=START_US, callers=("a",), callees=(), calls=(1,), errors=()
    )
    with broker.producer() as producer:
        producer.send(catalogue.SERVICE_GRAPH, key=b"run-1", value=encode(uneven))
        longer = replace(run, end_offsets=end_offsets(broker, ""))
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(longer))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "built")
    assert content_hash(tmp_path / "built") == content_hash(original)


def test_spans_have_their_start_and_their_end(original: Path) -> None:
    spans = pq.read_table(original / "traces.parquet", columns=["time", "start", "duration_us"])
    ends = spans.column("time").cast(pa.int64()).to_pylist()
    starts = spans.column("start").cast(pa.int64()).to_pylist()
    durations = spans.column("duration_us").to_pylist()
    assert ends == [start + length for start, length in zip(starts, durations, strict=True)]


def rows_of(folder: Path, table: str, *columns: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        folder / f"{table}.parquet", columns=list(columns) or None
    ).to_pylist()
    return rows


def test_windows_have_one_row_each_which_is_their_final_revision(original: Path) -> None:
    windows = rows_of(original, "windows")
    places = [(row["start"], row["service"]) for row in windows]
    assert places == sorted(set(places))
    assert len(windows) == 18 * len(STORY.services)
    revisions = rows_of(original, "window_revisions")
    final = [row for row in revisions if row.pop("final")]
    assert len(final) == len(windows) < len(revisions)
    for window, revision in zip(windows, final, strict=True):
        # What stands in the table of windows already is not there twice.
        assert (revision.pop("feature_names"), revision.pop("feature_values")) == (None, None)
        assert len(window.pop("feature_names")) == len(window.pop("feature_values")) > 0
        assert window == revision
    assert any(row["revision"] >= 2 for row in windows)


def test_every_revision_can_be_put_together_to_what_the_topic_says(
    recorded: MemoryBroker, original: Path
) -> None:
    with recorded.consumer(group_id=None) as consumer:
        ranges = {
            each: consumer.offset_range(each) for each in consumer.partitions(catalogue.LABELLED_WINDOWS)
        }
        live = {
            hashlib.sha256(message.value or b"").hexdigest(): decode_as(LabelledWindow, message.value or b"")
            for message in read_ranges(consumer, ranges)
        }
    final = {(row["service"], row["start"]): row for row in rows_of(original, "windows")}
    labels: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for row in rows_of(original, "labels"):
        labels.setdefault((row["service"], row["start"], row["revision"]), []).append(row)
    for row in rows_of(original, "window_revisions"):
        said = live[row["sha256"]]
        source = final[row["service"], row["start"]] if row["feature_names"] is None else row
        assert tuple(source["feature_names"]) == said.names
        assert repr(tuple(source["feature_values"])) == repr(said.values)
        assert (row["truth"], row["role"], row["in_force"], row["visible"]) == (
            *(said.truth, said.role, said.in_force, said.visible),
        )
        assert row["actions"] == [each.decision_id for each in said.actions]
        found = labels.get((row["service"], row["start"], row["revision"]), [])
        assert row["faults"] == len(said.labels)
        assert [
            (each["fault_id"], each["role"], each["finding"], each["overlap"], tuple(each["instances"]))
            for each in found
        ] == [(each.fault_id, each.role, each.finding, each.overlap, each.instances) for each in said.labels]


def test_acts_of_placement_have_one_row_each_by_their_newest_version(original: Path) -> None:
    rows = rows_of(original, "actions")
    told = {each.service: each for _, each in actions(STORY)}
    assert len(rows) == len(told) == len(STORY.services)
    assert [row["decided_at"] for row in rows] == sorted(row["decided_at"] for row in rows)
    for row in rows:
        act = told[row["service"]]
        assert (row["decision_id"], row["what"], row["origin"], row["decided_by"], row["why"]) == (
            *(f"migrate-{act.service}", "move", "rule", "follow-demand", "cpu-% 12 >= 0"),
        )
        assert (row["from_host"], row["from_region"], row["to_host"], row["to_region"]) == (
            *("berlin", "Europe", "tokyo", "Asia"),
        )
        assert (row["outcome"], row["is_final"]) == ("done", True)
        assert (row["cost_host_s"], row["requests_lost"]) == (7.0, 0)
        assert (row["ended_at"] - row["begun_at"]).total_seconds() == 7.0


def test_each_window_names_the_acts_that_overlap_it_and_no_other_does(original: Path) -> None:
    spans = {row["decision_id"]: row for row in rows_of(original, "actions")}
    found = 0
    for window in rows_of(original, "windows", "service", "start", "end", "actions"):
        overlapping = [
            decision
            for decision, row in spans.items()
            if row["service"] == window["service"]
            and row["begun_at"] < window["end"]
            and row["ended_at"] > window["start"]
        ]
        assert sorted(window["actions"]) == sorted(overlapping)
        found += len(window["actions"])
    assert found >= 2 * len(spans), "each lasts longer than a window"


def test_a_run_without_a_manager_has_a_table_of_acts_without_rows(tmp_path: Path) -> None:
    broker = MemoryBroker()
    story = Story(seconds=20, has_manager=False)
    record_run(broker, story)
    rebuild(broker, run_id=story.run_id, out_dir=tmp_path / "d")
    assert rows_of(tmp_path / "d", "actions") == []
    assert verify(tmp_path / "d") == []
    assert {tuple(row["actions"]) for row in rows_of(tmp_path / "d", "windows")} == {()}


def test_windows_say_what_was_in_force_and_what_was_measured(original: Path) -> None:
    windows = rows_of(original, "windows")
    for row in windows:
        assert row["in_force"] == 0 or row["role"] == "root_cause"
        assert row["truth"] != "anomalous" or row["visible"] > 0
        assert (row["role"] is None) == (row["fault_id"] is None) == (row["faults"] == 0)
    found = [row["truth"] for row in windows]
    assert {truth: found.count(truth) > 3 for truth in set(found)} == {
        "anomalous": True,
        "masked": True,
        "normal": True,
    }


def test_a_window_says_whether_its_service_was_silent_and_how_long_it_waited(original: Path) -> None:
    windows = rows_of(original, "windows", "service", "start", "silent", "delay_us")
    silent = [row for row in windows if row["silent"]]
    assert {row["service"] for row in silent} == {"checkout"}
    assert {row["service"] for row in windows if row["delay_us"]} == {"shipping"}


def test_windows_and_instances_say_what_a_service_is(tmp_path: Path) -> None:
    broker = MemoryBroker()
    run = record_run(broker, Story(seconds=20))
    with broker.producer() as producer:
        for seen_us, kind in ((2, "host"), (1, "service")):
            said = instance(run.run_id, "cart", seen_us=seen_us, kind=kind)
            producer.send(catalogue.SERVICE_INSTANCES, key=b"cart", value=encode(said))
        longer = replace(run, end_offsets=end_offsets(broker, ""))
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(longer))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    for table in ("windows", "window_revisions"):
        kinds = {(row["service"], row["service_kind"]) for row in rows_of(tmp_path / "d", table)}
        assert kinds == {
            (name, "load_generator" if name == LOAD_GENERATOR else "service") for name in STORY.services
        }
    (row, _) = rows_of(tmp_path / "d", "instances")
    assert (row["kind"], row["version"], row["host"], row["scopes"]) == ("service", None, "h", ["s"])


def test_who_is_affected_is_a_table_of_its_own(original: Path) -> None:
    rows = rows_of(original, "effects")
    places = [(row["fault_id"], row["service"]) for row in rows]
    assert len(places) == len(set(places)) == 2 * 7
    assert {row["role"] for row in rows} == {"root_cause", "affected", "exposed"}
    intervals = rows_of(original, "effect_intervals")
    for row in rows:
        own = [
            each
            for each in intervals
            if (each["fault_id"], each["service"]) == (row["fault_id"], row["service"])
        ]
        assert row["intervals"] == len(own)
        assert (row["finding"] == "visible") == (row["first_deviating_at"] is not None) == bool(own)
        assert row["role"] != "affected" or (row["hops"], row["relation"]) == (1, "caller")
        if own:
            assert (row["first_deviating_at"], row["last_deviating_at"]) == (
                own[0]["first_deviating_at"],
                own[-1]["last_deviating_at"],
            )
    anomalous = {row["service"] for row in rows_of(original, "windows") if row["truth"] == "anomalous"}
    assert anomalous <= {row["service"] for row in rows if row["role"] != "exposed"}


def test_the_observers_newest_verdict_and_each_evidence_stand_beside_one_another(tmp_path: Path) -> None:
    """The run may be over before the story of a fault tells what was measured last."""
    event = FaultEvent(
        run_id="run-1",
        fault_id="f",
        version=4,
        kind="network-delay",
        service="cart",
        instance="cart-0",
        state="recovered",
        at_us=9,
        requested_at_us=1,
        applied_at_us=3,
        recovered_at_us=7,
        duration_us=4,
        parameters={"b": "2", "a": "1"},
        apply_evidence="applied",
        recovery_evidence="recovered",
        verdict_version=1,
    )
    verdict = FaultVerdict(
        run_id="run-1",
        fault_id="f",
        service="cart",
        version=2,
        verdict="confirmed",
        effect_seen_at_us=4,
        effect_seen_within_us=250,
        evidence="seen",
    )
    (row,) = faults_table([verdict, event, replace(verdict, version=1, verdict="inconclusive")]).to_pylist()
    assert (row["verdict"], row["effect_seen_within_us"], row["normal_at"]) == ("confirmed", 250, None)
    evidence = [row[f"{step}_evidence"] for step in ("apply", "recovery", "effect")]
    assert evidence == ["applied", "recovered", "seen"]
    assert row["parameters"] == '{"a": "1", "b": "2"}'
    assert (row["acted"], row["applied_within_us"], row["requested_within_us"]) == (None, None, 1)
    (later,) = faults_table([verdict, replace(event, verdict="ineffective", verdict_version=3)]).to_pylist()
    assert later["verdict"] == "ineffective"


def test_what_is_not_known_is_null_and_no_zero(original: Path, tmp_path: Path) -> None:
    spans = rows_of(original, "traces", "peer", "kind", "protocol", "parent_id", "error")
    assert {(row["kind"], row["peer"]) for row in spans} == {("server", None), ("client", "redis")}
    assert {(row["protocol"], row["parent_id"]) for row in spans} == {(None, None)}
    assert {row["error"] for row in spans} == {True, False}
    assert {row["interval_us"] for row in rows_of(original, "metrics", "interval_us")} == {None}
    assert {row["callee_kind"] for row in rows_of(original, "graph")} == {None}
    (refused,) = [row for row in rows_of(original, "faults") if row["state"] == "rejected"]
    assert (refused["instance"], refused["applied_at"], refused["apply_evidence"]) == (None, None, None)
    for table in TABLES:
        assert "map<" not in str(pq.read_schema(original / table)), table


def test_faults_have_one_row_each_with_their_newest_version(original: Path) -> None:
    faults = pq.read_table(original / "faults.parquet").to_pylist()
    assert len({(row["fault_id"], row["instance"]) for row in faults}) == len(faults)
    assert {row["state"] for row in faults} == {"recovered", "rejected"}
    assert {row["version"] for row in faults if row["state"] == "recovered"} == {3}
    events = pq.read_table(original / "fault_events.parquet").to_pylist()
    assert len(events) == 3 * (len(faults) - 1) + 1


def test_rows_sent_twice_are_there_once_and_counted(tmp_path: Path) -> None:
    """A sender that got no answer sends again: other messages, the same records."""
    story = Story(seconds=20)
    nobody_declared = replace(experiment(story, {}, {}), writers=())
    broker = MemoryBroker()
    create_topics(broker, partitions=1)
    batch = MetricBatch(
        run_id=story.run_id,
        service="cart",
        instances=("cart-0",),
        names=("cpu",),
        time_us=(START_US + 1_000_000).to_bytes(8, "little"),
        instance=b"\0\0",
        name=b"\0\0",
        value=b"\0" * 8,
    )
    with broker.producer() as producer:
        for sequence in range(2):
            headers = Stamp(
                run=story.run_id,
                watermark_us=START_US + 2_000_000,
                writer="w",
                sequence=sequence,
                total=sequence + 1,
            ).headers()
            producer.send(
                catalogue.TELEMETRY_METRICS,
                key=b"cart",
                value=encode(batch),
                headers=headers,
                partition=0,
            )
        _finish_heartbeats(producer, story, after={catalogue.TELEMETRY_METRICS: (2, 2)})
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(nobody_declared))
    manifest = rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert verify(tmp_path / "d") == []
    assert pq.read_table(tmp_path / "d" / "metrics.parquet").num_rows == 1
    row = next(ledger_rows(tmp_path / "d" / "ledger.parquet"))
    assert (row.read, row.in_windows, row.duplicate) == (2, 1, 1)
    assert manifest.unfinished_windows == 0


def _finish_heartbeats(producer: object, story: Story, after: dict[str, tuple[int, int]]) -> None:
    for topic in (
        catalogue.TELEMETRY_METRICS,
        catalogue.TELEMETRY_LOGS,
        catalogue.TELEMETRY_TRACES,
        catalogue.SERVICE_FAULTS,
    ):
        sequence, total = after.get(topic, (0, 0))
        stamp = Stamp(
            run=story.run_id,
            watermark_us=START_US + 90_000_000,
            writer="w",
            sequence=sequence,
            total=total,
        )
        producer.send(topic, key=b"__heartbeat__", value=None, headers=stamp.headers(), partition=0)  # type: ignore[attr-defined]


def test_what_can_not_be_read_is_counted_and_the_rest_flows_on(tmp_path: Path) -> None:
    broker = MemoryBroker()
    story = Story(seconds=30)
    run = record_run(broker, story, partitions=1)
    with broker.consumer(group_id=None) as consumer:
        partition = consumer.partitions(catalogue.TELEMETRY_LOGS)[0]
        consumer.assign({partition: run.end_offsets["telemetry-logs/0"] - 1})
        last = Stamp.read(consumer.consume(1, 1)[0].headers)
    with broker.producer() as producer:
        headers = Stamp(
            run="run-1",
            watermark_us=last.watermark_us,
            writer=last.writer,
            sequence=last.sequence + 1,
            total=last.total + 4,
        ).headers()
        producer.send(
            catalogue.TELEMETRY_LOGS,
            key=b"cart",
            value=b"garbage",
            headers=headers,
            partition=0,
        )
        longer = replace(run, end_offsets={})
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(longer))
    manifest = rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert verify(tmp_path / "d") == []
    assert manifest.totals[catalogue.TELEMETRY_LOGS]["rejected_messages"] == 1
    ledger = list(ledger_rows(tmp_path / "d" / "ledger.parquet"))
    assert sum(row.rejected for row in ledger) == 4


def test_a_message_that_was_lost_before_the_log_is_noticed(tmp_path: Path) -> None:
    """Its offset was never given, so only the writer's own counts can tell."""
    broker = MemoryBroker()
    story = Story(seconds=10)
    create_topics(broker, partitions=1)
    sent = messages(story, partitions=1)
    metrics = [at for at, each in enumerate(sent) if each.topic == "telemetry-metrics" and each.value]
    lost = metrics[len(metrics) // 2]
    with broker.producer() as producer:
        for at, each in enumerate(sent):
            if at != lost:
                producer.send(each.topic, key=each.key, value=each.value, headers=each.headers, partition=0)
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(experiment(story, {}, {})))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    problems = verify(tmp_path / "d")
    assert "telemetry-metrics: 1 missing messages by the writers' stamps" in problems
    assert any("missing records" in problem for problem in problems)
    assert any("produced by the writers' stamps" in problem for problem in problems)


def test_windows_that_are_not_final_are_left_out_and_counted(tmp_path: Path) -> None:
    broker = MemoryBroker()
    record_run(broker, replace(STORY, drain_s=3))
    manifest = rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert manifest.unfinished_windows > 0
    assert verify(tmp_path / "d") == []
    assert verify_against_live(tmp_path / "d", broker) == []
    windows = pq.read_table(tmp_path / "d" / "windows.parquet", columns=["end"])
    newest = max(windows.column("end").cast(pa.int64()).to_pylist())
    assert newest <= min(manifest.final_until_us.values()) - manifest.policy["final_cut_us"]
    ledger = list(ledger_rows(tmp_path / "d" / "ledger.parquet"))
    assert sum(row.unfinished for row in ledger) > 0


def test_progress_goes_from_nothing_to_all(recorded: MemoryBroker, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    rebuild(recorded, run_id="run-1", out_dir=tmp_path / "d", progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1] > 0


def test_topics_that_were_just_made_are_waited_for(
    recorded: MemoryBroker, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def not_at_once(consumer: Consumer, run_id: str, prefix: str) -> RunLog:
        asked.append(run_id)
        if len(asked) == 1:
            msg = "no leader for now"
            raise Retryable(msg)
        return run_log(consumer, run_id, prefix)

    monkeypatch.setattr(sys.modules[rebuild.__module__], "run_log", not_at_once)
    manifest = rebuild(recorded, run_id="run-1", out_dir=tmp_path / "d")
    assert len(asked) == 2
    assert manifest.content_hash == content_hash(original)


def test_a_run_that_is_not_there_is_refused(recorded: MemoryBroker, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no run 'run-9' on experiments; the newest are: run-1"):
        rebuild(recorded, run_id="run-9", out_dir=tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_joined_topics_that_differ_in_partitions_are_refused(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics([TopicSpec(name=catalogue.TELEMETRY_LOGS, partitions=2, config={})])
    others = (catalogue.TELEMETRY_METRICS, catalogue.TELEMETRY_TRACES, catalogue.SERVICE_FAULTS)
    for name in (*others, catalogue.FAULT_EVENTS, catalogue.EXPERIMENTS):
        broker.admin().ensure_topics([TopicSpec(name=name, partitions=3, config={})])
    with broker.producer() as producer:
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(experiment(STORY, {}, {})))
    with pytest.raises(InvalidInput, match="telemetry-logs 2"):
        rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")


def test_a_folder_that_holds_something_is_refused(recorded: MemoryBroker, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty"):
        rebuild(recorded, run_id="run-1", out_dir=tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_failed_rebuild_leaves_nothing_behind(recorded: MemoryBroker, tmp_path: Path) -> None:
    def fail(_done: int, _total: int) -> None:
        msg = "enough"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="enough"):
        rebuild(recorded, run_id="run-1", out_dir=tmp_path / "d", progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    recorded: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "data").write_text("old")

    def full(*_: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(
        Unavailable, match=r"^can't write to .*/d: No space left on device; make room"
    ) as error:
        rebuild(recorded, run_id="run-1", out_dir=tmp_path / "d")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_place_that_can_not_be_written_to_is_refused_before_anything_is_read(
    recorded: MemoryBroker, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="is a file; give a new folder"):
        rebuild(recorded, run_id="run-1", out_dir=tmp_path / "file")
    for place in (tmp_path / "file" / "d", Path("/proc/1/d")):
        with pytest.raises(InvalidInput, match=r"give a(nother)? folder"):
            rebuild(recorded, run_id="run-1", out_dir=place)
    assert (tmp_path / "file").read_text() == "mine"


def test_offsets_that_are_not_on_the_log_are_a_gap(recorded: MemoryBroker, tmp_path: Path) -> None:
    known = runs(recorded)[0]
    beyond: Experiment = replace(
        known,
        run_id="run-2",
        end_offsets={**known.end_offsets, "telemetry-logs/0": 10**9},
    )
    broker = MemoryBroker()
    create_topics(broker)
    with broker.producer() as producer:
        producer.send(catalogue.EXPERIMENTS, key=b"run-2", value=encode(beyond))
    with pytest.raises(OffsetGap):
        rebuild(broker, run_id="run-2", out_dir=tmp_path / "d")


def test_records_that_the_windower_refuses_are_rejected_once_whatever_the_message_is_keyed_by(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    story = Story(seconds=30)
    run = record_run(broker, story, partitions=1)
    with broker.consumer(group_id=None) as consumer:
        partition = consumer.partitions(catalogue.TELEMETRY_METRICS)[0]
        consumer.assign({partition: run.end_offsets["telemetry-metrics/0"] - 1})
        last = Stamp.read(consumer.consume(1, 1)[0].headers)
    tomorrow = MetricBatch(
        run_id=story.run_id,
        service="cart",
        instances=("cart-0",),
        names=("cpu",),
        time_us=(last.watermark_us + 86_400_000_000).to_bytes(8, "little"),
        instance=b"\0\0",
        name=b"\0\0",
        value=b"\0" * 8,
    )
    with broker.producer() as producer:
        for number, key in enumerate((b"cart", b"another", b"cart"), start=1):
            stamp = last._replace(sequence=last.sequence + number, total=last.total + number)
            producer.send(
                catalogue.TELEMETRY_METRICS,
                key=key,
                value=encode(tomorrow),
                headers=stamp.headers(),
                partition=0,
            )
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(replace(run, end_offsets={})))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert verify(tmp_path / "d") == []
    ledger = list(ledger_rows(tmp_path / "d" / "ledger.parquet"))
    assert sum(row.rejected for row in ledger) == 3


def test_what_an_undeclared_writer_wrote_is_rejected_as_it_was_live(tmp_path: Path) -> None:
    broker = MemoryBroker()
    story = Story(seconds=30)
    run = record_run(broker, story, partitions=1)
    stamp = Stamp(run=run.run_id, watermark_us=START_US, writer="stranger", sequence=0, total=1)
    batch = MetricBatch(
        run_id=story.run_id,
        service="cart",
        instances=("cart-0",),
        names=("cpu",),
        time_us=START_US.to_bytes(8, "little"),
        instance=b"\0\0",
        name=b"\0\0",
        value=b"\0" * 8,
    )
    with broker.producer() as producer:
        producer.send(
            catalogue.TELEMETRY_METRICS,
            key=b"cart",
            value=encode(batch),
            headers=stamp.headers(),
            partition=0,
        )
        known = replace(run, end_offsets={})
        producer.send(catalogue.EXPERIMENTS, key=b"run-1", value=encode(known))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert verify(tmp_path / "d") == []
    assert verify_against_live(tmp_path / "d", broker) == []
    assert sum(row.rejected for row in ledger_rows(tmp_path / "d" / "ledger.parquet")) == 1
