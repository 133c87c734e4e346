"""Whether windows can be told apart by anything but their values: a gate against leaks.

A leak is what a detector could learn without looking at the system. Each score is learned on some blocks of
the run's time and judged on the others, as a detector is that was trained before: in five blocks, each judged
by what the other four say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth.shares import area_under_curve
from microservo.adapters.broker import Broker, Message
from microservo.log.ranges import read_ranges
from microservo.log.reader import ranges_from
from microservo.log.runs import find_run
from schemas.catalogue import FEATURE_WINDOWS, LABELLED_WINDOWS
from schemas.codec import decode_as
from schemas.records import FeatureWindow, LabelledWindow

MOST_OF_A_CONSTANT = 0.60
MOST_OF_A_LEAK = 0.55
BLOCKS = 5

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A window as it came, without its values.

    Attributes:
        names: of its features.
        size_bytes: of the whole message but its key.
        gap_us: since the message before of the same service, by the broker's clock.
        order: which of the messages of its instant and partition it was.
        offsets: how far in the partition it lies behind the message before of the same service.
        is_anomalous: the truth of its last revision.
    """

    service: str
    start_us: int
    names: tuple[str, ...]
    size_bytes: int
    gap_us: int
    order: int
    offsets: int
    is_anomalous: bool


def envelopes(broker: Broker, run_id: str, topic_prefix: str = "") -> list[Envelope]:
    """The first revision of every window of a run whose truth is anomalous or normal, in order of time."""
    truths = _truths(_messages(broker, topic_prefix, LABELLED_WINDOWS, run_id))
    return list(envelopes_of(_messages(broker, topic_prefix, FEATURE_WINDOWS, run_id), truths))


def leaks(windows: Sequence[Envelope]) -> dict[str, float]:
    """How well windows can be told apart by each thing that must not tell, as areas under the curve.

    But for the constant per service, from the first anomalous window on: those before are all normal, and how
    a run begins, with names that are still being learned and windows that catch up, tells them from the rest.
    """
    everything, folds = _Folds(windows), _Folds(_since_first_fault(windows))
    measured: Mapping[str, Callable[[Envelope], float]] = {
        "number of features": lambda window: len(window.names),
        "size": lambda window: window.size_bytes,
        "gap": lambda window: window.gap_us,
        "order": lambda window: window.order,
        "offsets": lambda window: window.offsets,
    }
    found = {
        "constant per service": everything.area(everything.constant),
        "names": folds.area_within(folds.names),
    }
    for name, value in measured.items():
        found[name] = folds.area_within(partial(folds.numbers, value))
    return {name: area for name, area in found.items() if area is not None}


def _since_first_fault(windows: Sequence[Envelope]) -> Sequence[Envelope]:
    first_us = min((window.start_us for window in windows if window.is_anomalous), default=0)
    return [window for window in windows if window.start_us >= first_us]


def problems(areas: Mapping[str, float], margin: float = 0.0) -> list[str]:
    """What tells more than it may, a sentence each.

    Args:
        areas: of `leaks`.
        margin: allowed beyond, for a run of few windows; see `chance`.
    """
    allowed = {"constant per service": MOST_OF_A_CONSTANT}
    return [
        f"{name} alone has an area of {area:.3f} under the curve, no more than {most:.3f} is right"
        for name, area in areas.items()
        if area > (most := allowed.get(name, MOST_OF_A_LEAK) + margin)
    ]


def chance(windows: Sequence[Envelope]) -> float:
    """The standard deviation of the area under the curve of a score that says nothing.

    Source: of the statistic of Mann and Whitney.
    """
    positives = sum(window.is_anomalous for window in windows)
    negatives = len(windows) - positives
    pairs = max(1, positives * negatives)
    return math.sqrt((len(windows) + 1) / (12 * pairs))


def anomalous_by_service(windows: Sequence[Envelope]) -> dict[str, str]:
    """How many of how many windows of each service are anomalous, in words."""
    total = Counter(window.service for window in windows)
    anomalous = Counter(window.service for window in windows if window.is_anomalous)
    return {service: f"{anomalous[service]} of {count}" for service, count in sorted(total.items())}


def constant_in_hindsight(windows: Sequence[Envelope]) -> float | None:
    """The area under the curve of the best constant for each service, which nobody could know beforehand."""
    total = Counter(window.service for window in windows)
    anomalous = Counter(window.service for window in windows if window.is_anomalous)
    scores = np.array([anomalous[window.service] / total[window.service] for window in windows])
    return area_under_curve(scores, np.array([window.is_anomalous for window in windows], bool))


class _Folds:
    """The windows in blocks of time; each is scored by what the others say."""

    def __init__(self, windows: Sequence[Envelope]) -> None:
        self._windows = windows
        self._truth: Flags = np.array([window.is_anomalous for window in windows], bool)
        starts = np.array([window.start_us for window in windows], np.int64)
        begin_us, end_us = (int(starts.min()), int(starts.max()) + 1) if len(starts) else (0, 1)
        self._block = (starts - begin_us) * BLOCKS // (end_us - begin_us)
        services = sorted({window.service for window in windows})
        self._service = np.array([services.index(window.service) for window in windows], np.int64)

    def area(self, score: Callable[[int], Floats]) -> float | None:
        """The area under the curve of a score that is learned without the block that it is used on."""
        return area_under_curve(self._scores(score), self._truth)

    def area_within(self, score: Callable[[int], Floats]) -> float | None:
        """Likewise, but only windows of the same service are compared: which one it is tells nothing then."""
        scores = self._scores(score)
        pairs = right = 0.0
        for service in np.unique(self._service):
            mine = self._service == service
            anomalous = int(self._truth[mine].sum())
            weight = anomalous * (int(mine.sum()) - anomalous)
            pairs += weight
            right += weight * (area_under_curve(scores[mine], self._truth[mine]) or 0.0)
        return right / pairs if pairs else None

    def _scores(self, score: Callable[[int], Floats]) -> Floats:
        scores = np.zeros(len(self._windows))
        for block in range(BLOCKS):
            within = self._block == block
            scores[within] = score(block)[within]
        return scores

    def constant(self, block: int) -> Floats:
        """The share of a service's windows that are anomalous elsewhere."""
        elsewhere = self._block != block
        services = len(self._windows) and int(self._service.max()) + 1
        total = np.bincount(self._service[elsewhere], minlength=services)
        anomalous = np.bincount(self._service[elsewhere & self._truth], minlength=services)
        shares: Floats = ((anomalous + 0.5) / (total + 1.0))[self._service]
        return shares

    def names(self, block: int) -> Floats:
        """What the presence of each name says elsewhere, for windows of the same service; added up."""
        elsewhere = self._block != block
        scores = np.zeros(len(self._windows))
        for mine, is_there in self._presence:
            chances = []
            for truth in (True, False):
                known = (elsewhere & (self._truth == truth))[mine]
                share = (is_there[known].sum(axis=0) + 0.5) / (known.sum() + 1.0)
                chances.append(np.where(is_there, share, 1.0 - share))
            scores[mine] = np.log(chances[0] / chances[1]).sum(axis=1)
        return scores

    @cached_property
    def _presence(self) -> list[tuple[NDArray[np.int64], Flags]]:
        """By service, its windows, and which of them have each name that not all of them have."""
        found = []
        for service in np.unique(self._service):
            mine = np.flatnonzero(self._service == service)
            names = [set(self._windows[index].names) for index in mine.tolist()]
            shared: set[str] = set.intersection(*names)
            telling = sorted({name for each in names for name in each} - shared)
            found.append((mine, np.array([[name in each for name in telling] for each in names], bool)))
        return found

    def numbers(self, value: Callable[[Envelope], float], block: int) -> Floats:
        """How far a number lies from its service's median, in the direction that tells more elsewhere."""
        values = np.array([value(window) for window in self._windows], np.float64)
        elsewhere = self._block != block
        away = np.zeros(len(values))
        for service in np.unique(self._service):
            mine = self._service == service
            away[mine] = values[mine] - np.median(values[mine & elsewhere]) if (mine & elsewhere).any() else 0
        candidates = (away, -away, np.abs(away), -np.abs(away))
        areas = [area_under_curve(each[elsewhere], self._truth[elsewhere]) or 0.0 for each in candidates]
        return candidates[int(np.argmax(areas))]


def envelopes_of(messages: Iterable[Message], truths: Mapping[tuple[str, int], str]) -> Iterable[Envelope]:
    """The envelopes of windows of services whose truth is known, by service and start.

    Hosts and load generators say what they are, and no detector has to score them.
    """
    before: dict[str, Message] = {}
    orders: Counter[tuple[int, int]] = Counter()
    for message in messages:
        window = decode_as(FeatureWindow, message.value or b"")
        last, place = before.get(window.service), (message.partition, window.start_us)
        before[window.service] = message
        orders[place] += 1
        truth = truths.get((window.service, window.start_us), "masked")
        is_scored = window.service_kind == "service" and truth != "masked"
        if window.revision == 0 and last is not None and is_scored:
            yield Envelope(
                service=window.service,
                start_us=window.start_us,
                names=window.names,
                size_bytes=len(message.value or b"") + sum(len(value) for _, value in message.headers),
                gap_us=message.timestamp_us - last.timestamp_us,
                order=orders[place],
                offsets=message.offset - last.offset,
                is_anomalous=truth == "anomalous",
            )


def _truths(messages: Iterable[Message]) -> dict[tuple[str, int], str]:
    newest: dict[tuple[str, int], LabelledWindow] = {}
    for message in messages:
        window = decode_as(LabelledWindow, message.value or b"")
        key = (window.service, window.start_us)
        newest[key] = max(window, newest.get(key, window), key=lambda each: each.revision)
    return {key: window.truth for key, window in newest.items()}


def _messages(broker: Broker, topic_prefix: str, topic: str, run_id: str) -> list[Message]:
    """The messages of a run that hold a record, in the order of each partition."""
    log = find_run(broker, run_id, topic_prefix)
    with broker.consumer(group_id=None) as consumer:
        named = ranges_from(consumer, topic_prefix + topic)
        known = {each: log.offsets.get((topic, each.index), bounds) for each, bounds in named.items()}
        return [
            message
            for message in read_ranges(consumer, {each: (a, b) for each, (a, b) in known.items() if a < b})
            if message.value is not None and message.header("run") in (None, run_id.encode())
        ]
