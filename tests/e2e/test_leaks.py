"""What an algorithm reads gives away nothing of the labels but the telemetry itself."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from main_job import ALL, SURVIVOR, Recorded, read_all

from benchmarks.truth.leaks import chance, envelopes, leaks, problems
from microservo.domain.faults.catalogue import KINDS
from schemas import catalogue
from schemas.codec import decode_as
from schemas.records import FeatureWindow, LabelledWindow

pytestmark = pytest.mark.e2e

READ_BY_ALGORITHMS = (
    catalogue.FEATURE_WINDOWS,
    catalogue.TELEMETRY_METRICS,
    catalogue.TELEMETRY_LOGS,
    catalogue.TELEMETRY_TRACES,
)

CUT_US = 10_000_000
"""So long after its start a window has been published, with time to spare."""


@pytest.mark.parametrize("topic", READ_BY_ALGORITHMS)
def test_no_message_names_a_fault_its_kind_or_the_injector(recorded: Recorded, topic: str) -> None:
    words = (
        {fault.fault_id for fault in ALL} | (set(KINDS) - {"noop"}) | {"fault", "inject", "chaos", "sidecar"}
    )
    telltale = re.compile("|".join(map(re.escape, sorted(words))).encode(), re.IGNORECASE)
    for message in read_all(recorded.client, topic, run_id=recorded.run_id):
        parts = [
            message.key or b"",
            message.value or b"",
            *(name.encode() + value for name, value in message.headers),
        ]
        for part in parts:
            found = telltale.search(part)
            # "default" is a word of its own, and bytes columns hold anything.
            if found and not part[max(0, found.start() - 2) :].lower().startswith(b"default"):
                pytest.fail(f"{topic} says {part[max(0, found.start() - 40) : found.end() + 40]!r}")


def test_headers_are_the_same_whatever_the_label(recorded: Recorded) -> None:
    faulty = labelled(recorded)
    names: dict[bool, Counter[tuple[str, ...]]] = {True: Counter(), False: Counter()}
    for message in read_all(recorded.client, catalogue.FEATURE_WINDOWS, run_id=recorded.run_id):
        window = decode_as(FeatureWindow, message.value or b"")
        is_faulty = (window.service, window.start_us) in faulty
        names[is_faulty][tuple(name for name, _ in message.headers)] += 1
        assert (message.header("ce_id") or b"").endswith(b"/%d/%d" % (window.start_us, window.revision))
    assert set(names[True]) == set(names[False])
    assert len(names[True]) == 1


def test_the_telemetry_of_every_second_has_the_same_envelope(recorded: Recorded) -> None:
    for topic in READ_BY_ALGORITHMS[1:]:
        # Inventories lie among the metrics.
        records = len(catalogue.catalogue()[topic].records)
        shapes = {
            (
                tuple(name for name, _ in message.headers),
                message.header("ce_type"),
                message.header("ce_source"),
            )
            for message in read_all(recorded.client, topic, run_id=recorded.run_id)
            if message.value is not None
        }
        assert len({kind for _, kind, _ in shapes}) == records, topic
        assert len(shapes) == records, topic


def test_nothing_but_the_values_of_a_window_tells_whether_it_is_anomalous(recorded: Recorded) -> None:
    killed_us = min(
        event.applied_at_us for event in recorded.faults[SURVIVOR.fault_id] if event.applied_at_us
    )
    # From then on the job kills the pipeline, so windows come late under that fault and under no other.
    windows = [
        window
        for window in envelopes(recorded.client.broker, recorded.run_id, recorded.client.topic_prefix)
        if window.start_us + CUT_US < killed_us
    ]
    areas = leaks(windows)
    # The job is no campaign over all services: which one it is does tell.
    del areas["constant per service"]
    assert "gap" in areas
    assert problems(areas, margin=3 * chance(windows)) == []


def test_an_unlabelled_window_is_revised_only_for_its_features(recorded: Recorded) -> None:
    values: dict[tuple[str, int], list[FeatureWindow]] = {}
    for message in read_all(recorded.client, catalogue.FEATURE_WINDOWS, run_id=recorded.run_id):
        window = decode_as(FeatureWindow, message.value or b"")
        values.setdefault((window.service, window.start_us), []).append(window)
    for revisions in values.values():
        distinct = {(window.revision, window.names, repr(window.values)) for window in revisions}
        assert len({(names, text) for _, names, text in distinct}) == len(distinct)


def labelled(recorded: Recorded) -> set[tuple[str, int]]:
    found = set()
    for message in read_all(recorded.client, catalogue.LABELLED_WINDOWS, run_id=recorded.run_id):
        window = decode_as(LabelledWindow, message.value or b"")
        if window.labels:
            found.add((window.service, window.start_us))
    assert found
    return found
