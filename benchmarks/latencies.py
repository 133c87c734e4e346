"""Latencies of a run, read off the timestamps on its topics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from microservo.adapters.broker import Broker, Message
from microservo.datasets import find_run
from microservo.domain.joined_topics import WAITED_FOR
from microservo.log.ranges import read_ranges
from schemas.catalogue import ANOMALY_SCORES, FEATURE_WINDOWS, LABELLED_WINDOWS, SERVICE_FAULTS
from schemas.codec import decode_as
from schemas.envelope import Stamp
from schemas.records import AnomalyScore, FeatureWindow, LabelledWindow, ServiceFault

Milliseconds = list[float]
Window = tuple[str, int]
"""Service and start of a window of revision 0."""


@dataclass(slots=True)
class Latencies:
    """Milliseconds of each occurrence, by what they lie between."""

    label: Milliseconds = field(default_factory=list)
    """From the mechanism's confirmation (applied, recovered) to the label on its topic."""
    window: Milliseconds = field(default_factory=list)
    """From the last stamp that closes a window to the labelled window on its topic."""
    score: Milliseconds = field(default_factory=list)
    """From the window's message to the score's."""


def quantile(values: Iterable[float], share: float) -> float | None:
    """Nearest rank: a value that was measured; None where there is none."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)] if ordered else None


def measure_latencies(broker: Broker, run_id: str, topic_prefix: str) -> Latencies:
    """Reads the run's topics; they may still grow.

    Raises:
        InvalidInput: there is no such run.
    """
    log = find_run(broker, run_id, topic_prefix)
    messages = _Messages(broker, topic_prefix, log.offsets)
    return Latencies(
        label=list(label_latencies(messages.of(SERVICE_FAULTS), run_id)),
        window=list(_window_latencies(messages, run_id, log.run.first_cut_us)),
        score=list(_score_latencies(messages, run_id)),
    )


class _Messages:
    """Messages of one run by logical topic."""

    def __init__(self, broker: Broker, prefix: str, offsets: dict[tuple[str, int], tuple[int, int]]) -> None:
        self._broker = broker
        self._prefix = prefix
        self._offsets = offsets

    def of(self, topic: str) -> Iterator[Message]:
        with self._broker.consumer(group_id=None) as consumer:
            ranges = {
                each: self._offsets.get((topic, each.index), consumer.offset_range(each))
                for each in consumer.partitions(self._prefix + topic)
            }
            yield from read_ranges(consumer, {each: (a, b) for each, (a, b) in ranges.items() if a < b})


def label_latencies(messages: Iterable[Message], run_id: str) -> Iterator[float]:
    """For each fault and service, of the first record that states an instant of confirmation."""
    stated: set[tuple[str, str, str, int]] = set()
    for message in messages:
        if message.value is None:
            continue
        fault = decode_as(ServiceFault, message.value)
        for name in ("applied_at_us", "recovered_at_us"):
            at_us = getattr(fault, name)
            key = (fault.fault_id, fault.service, name, at_us or 0)
            if fault.run_id == run_id and at_us is not None and key not in stated:
                stated.add(key)
                yield (message.timestamp_us - at_us) / 1000


def _window_latencies(messages: _Messages, run_id: str, first_cut_us: int) -> Iterator[float]:
    marks = [_marks(messages.of(topic)) for topic in WAITED_FOR]
    for message in messages.of(LABELLED_WINDOWS):
        window = decode_as(LabelledWindow, message.value) if message.value else None
        if window is None or window.revision or window.run_id != run_id:
            continue
        closing_us = [
            _passed(mark.get(message.partition, []), window.end_us + first_cut_us) for mark in marks
        ]
        known = [each for each in closing_us if each is not None]
        if len(known) == len(marks):
            yield (message.timestamp_us - max(known)) / 1000


def _marks(messages: Iterable[Message]) -> dict[int, list[tuple[int, int]]]:
    """Of each partition number: promise and time of arrival, both rising."""
    marks: dict[int, list[tuple[int, int]]] = {}
    for message in messages:
        try:
            stamp = Stamp.read(message.headers)
        except ValueError:
            continue
        marks.setdefault(message.partition, []).append((stamp.watermark_us, message.timestamp_us))
    return marks


def _passed(marks: list[tuple[int, int]], instant_us: int) -> int | None:
    """When the first promise of at least `instant_us` arrived."""
    at = bisect_left(marks, (instant_us, 0))
    return marks[at][1] if at < len(marks) else None


def _score_latencies(messages: _Messages, run_id: str) -> Iterator[float]:
    windows: dict[Window, int] = {}
    for message in messages.of(FEATURE_WINDOWS):
        window = decode_as(FeatureWindow, message.value) if message.value else None
        if window is not None and window.run_id == run_id and window.revision == 0:
            windows.setdefault((window.service, window.start_us), message.timestamp_us)
    for message in messages.of(ANOMALY_SCORES):
        score = decode_as(AnomalyScore, message.value) if message.value else None
        if score is not None and score.run_id == run_id and (score.service, score.start_us) in windows:
            yield (message.timestamp_us - windows[score.service, score.start_us]) / 1000
