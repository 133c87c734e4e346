"""From fault requests to a labelled dataset, on the whole system, with every process killed once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from main_job import ALL, OVERLAPPING, SURVIVOR, Planned, Recorded, read_all

from microservo.datasets import content_hash, verify, verify_against_live
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.labels import AFTER_EFFECT_US
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from schemas import catalogue
from schemas.codec import decode_as
from schemas.records import AnomalyScore, FaultEvent, LabelledWindow, ServiceFault

pytestmark = pytest.mark.e2e

WINDOW_US = 5_000_000


def newest(recorded: Recorded, fault: Planned) -> FaultEvent:
    return max(recorded.faults[fault.fault_id], key=lambda event: event.version)


def windows(recorded: Recorded, service: str) -> list[LabelledWindow]:
    """The final revision of every window of a service, in order of time."""
    final: dict[int, LabelledWindow] = {}
    for message in read_all(recorded.client, catalogue.LABELLED_WINDOWS, run_id=recorded.run_id):
        window = decode_as(LabelledWindow, message.value or b"")
        if window.service == service and window.revision >= final.get(window.start_us, window).revision:
            final[window.start_us] = window
    return [final[start] for start in sorted(final)]


def table(recorded: Recorded, name: str) -> list[dict[str, Any]]:
    return pq.read_table(recorded.dataset / f"{name}.parquet").to_pylist()  # type: ignore[no-any-return]


def test_the_job_has_faults_of_services_by_each_mechanism_that_any_service_has() -> None:
    # Each further kind is looked at in a suite of its own (tests/integration/test_wire_faults.py).
    assert {fault.kind for fault in ALL} < set(kinds_of_local_targets())
    assert {name for fault in ALL for name in KINDS[fault.kind].mechanisms} >= {
        *("none", "process", "workload", "sidecar")
    }


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.fault_id)
def test_a_fault_is_confirmed_by_its_mechanism_and_recovers(recorded: Recorded, fault: Planned) -> None:
    event = newest(recorded, fault)
    assert event.state == "recovered", event.reason
    times = (
        event.requested_at_us,
        event.apply_commanded_at_us,
        event.applied_at_us,
        event.recovery_commanded_at_us,
        event.recovered_at_us,
    )
    assert None not in times
    assert list(times) == sorted(times)  # type: ignore[type-var]


@pytest.mark.parametrize(
    "fault",
    [fault for fault in ALL if fault.kind != "noop" and fault not in OVERLAPPING],
    ids=lambda fault: fault.fault_id,
)
def test_a_fault_shows_in_the_telemetry_and_passes(recorded: Recorded, fault: Planned) -> None:
    event = newest(recorded, fault)
    assert event.verdict == "confirmed", event.effect_evidence
    assert event.effect_seen_at_us is not None
    assert event.normal_at_us is not None


@pytest.mark.parametrize("fault", OVERLAPPING, ids=lambda fault: fault.fault_id)
def test_what_two_faults_did_to_a_service_at_once_is_no_proof_of_either(
    recorded: Recorded, fault: Planned
) -> None:
    (other,) = (each.fault_id for each in OVERLAPPING if each != fault)
    mine = [row for row in table(recorded, "effects") if row["fault_id"] == fault.fault_id]
    moved = [row for row in mine if row["finding"] == "visible"]
    assert fault.service in {row["service"] for row in moved}
    assert {tuple(row["shared_with"]) for row in moved} <= {(other,), ()}
    # It may have begun before the other.
    alone = [
        row for row in moved if not row["shared_with"] and row["relation"] not in ("callee", "neighbour")
    ]
    assert newest(recorded, fault).verdict == ("confirmed" if alone else "inconclusive")


def test_the_control_shows_nothing(recorded: Recorded) -> None:
    (noop,) = (fault for fault in ALL if fault.kind == "noop")
    assert newest(recorded, noop).verdict == "ineffective"


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.fault_id)
def test_exactly_the_windows_of_a_fault_are_labelled_with_it(recorded: Recorded, fault: Planned) -> None:
    event = newest(recorded, fault)
    assert event.applied_at_us is not None
    assert event.recovered_at_us is not None
    begin, over = event.apply_commanded_at_us or event.applied_at_us, event.recovered_at_us
    for window in windows(recorded, fault.service):
        mine = [label for label in window.labels if label.fault_id == fault.fault_id]
        if window.start_us < over:
            assert len(mine) == (window.end_us > begin), (fault.fault_id, window.start_us, begin, over)
        else:
            assert len(mine) <= (window.start_us < over + AFTER_EFFECT_US)
            assert {label.phase for label in mine} <= {"after_effect"}
        for label in mine:
            shared = min(window.end_us, event.recovered_at_us) - max(window.start_us, event.applied_at_us)
            assert label.overlap == max(0, shared) / WINDOW_US
            assert (label.kind, label.role, label.hops) == (fault.kind, "root_cause", 0)


def test_a_window_of_a_root_cause_is_never_normal_while_the_fault_is_in_force(recorded: Recorded) -> None:
    truths = {
        (window.truth, bool(window.in_force))
        for fault in ALL
        for window in windows(recorded, fault.service)
        if all(label.severity > 0 for label in window.labels)
    }
    assert ("normal", False) in truths
    assert ("normal", True) not in truths
    assert ("anomalous", True) in truths or ("masked", True) in truths


def test_callers_are_labelled_with_their_hops(recorded: Recorded) -> None:
    hops = {
        label.hops
        for window in windows(recorded, "frontend")
        for label in window.labels
        if label.fault_id == "network-delay-cartservice"
    }
    assert hops == {1}
    assert all(
        label.role != "root_cause" for window in windows(recorded, "frontend") for label in window.labels
    )


def test_two_faults_at_once_are_both_labelled(recorded: Recorded) -> None:
    both = {fault.fault_id for fault in OVERLAPPING}
    assert any(
        both <= {label.fault_id for label in window.labels} for window in windows(recorded, "currencyservice")
    )


def test_a_fault_outlives_the_death_of_the_pipeline_by_no_more_than_its_repair(recorded: Recorded) -> None:
    event = newest(recorded, SURVIVOR)
    assert event.applied_at_us is not None
    assert event.recovered_at_us is not None
    assert event.recovered_at_us - event.applied_at_us >= 20_000_000


def test_the_rebuilt_windows_are_the_live_ones_byte_for_byte(recorded: Recorded) -> None:
    assert verify_against_live(recorded.dataset, recorded.client.broker, recorded.client.topic_prefix) == []


def test_a_second_rebuild_has_the_same_content(recorded: Recorded, tmp_path: Path) -> None:
    again = tmp_path / "again"
    recorded.client.datasets.rebuild(recorded.run_id, again)
    assert content_hash(again) == content_hash(recorded.dataset)
    for path in recorded.dataset.glob("*.parquet"):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_dataset_verifies_and_its_ledger_adds_up(recorded: Recorded) -> None:
    assert verify(recorded.dataset) == []
    ledger = table(recorded, "ledger")
    assert ledger
    assert sum(row["in_windows"] for row in ledger) > 10_000


def test_tampering_is_found(recorded: Recorded, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recorded.dataset, copy)
    path = copy / "faults.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"tampered!")
    assert any("faults.parquet" in problem for problem in verify(copy))


def test_every_window_of_a_service_was_scored_by_both_deployed_algorithms(recorded: Recorded) -> None:
    scored: dict[str, set[tuple[str, int]]] = {}
    for message in read_all(recorded.client, catalogue.ANOMALY_SCORES):
        score = decode_as(AnomalyScore, message.value or b"")
        if score.run_id == recorded.run_id:
            scored.setdefault(score.algorithm, set()).add((score.service, score.start_us))
    first = {
        (row["service"], int(row["start"].timestamp() * 1e6))
        for row in table(recorded, "window_revisions")
        # They don't watch the host and its load.
        if row["revision"] == 0 and row["service_kind"] == "service"
    }
    assert set(scored) == {"n-sigma", "random"}
    for algorithm, windows_scored in scored.items():
        assert first <= windows_scored, algorithm


def test_labels_reach_their_topic_with_the_confirmation(recorded: Recorded) -> None:
    """Every version lies on `service-faults` after the instant it speaks of; none was written ahead."""
    for message in read_all(recorded.client, catalogue.SERVICE_FAULTS, run_id=recorded.run_id):
        if message.value:
            fault = decode_as(ServiceFault, message.value)
            spoken = (fault.requested_at_us, fault.applied_at_us, fault.recovered_at_us)
            assert max(at for at in spoken if at) <= message.timestamp_us + 1000


def test_the_report_stands_alone(recorded: Recorded) -> None:
    page = (recorded.dataset / "report.html").read_text("utf-8")
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert all(fault.fault_id in page for fault in ALL)
