"""Series of Prometheus to rows, in columns: all values of one subject together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microservo.adapters.otlp.series import labels_text
from microservo.domain.bounded_names import cut
from microservo.domain.identity import Identity
from microservo.domain.rows import CUMULATIVE, LEVEL, Coded, CodedSeries, MetricRows, PointRows
from microservo.domain.telemetry import Float64, Int64
from microservo.sources.prometheus.identity import Subject

SubjectOf = Callable[[Mapping[str, str]], Subject | None]
_COUNTER_ENDINGS = ("_total", "_count", "_sum", "_bucket")


@dataclass(slots=True)
class _Columns:
    """The values of one subject: `lengths` says how many each series has."""

    series: list[tuple[str, str]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    pairs: list[tuple[float, str]] = field(default_factory=list)

    def add(self, name: str, labels: str, pairs: Sequence[tuple[float, str]]) -> None:
        self.series.append((name, labels))
        self.lengths.append(len(pairs))
        self.pairs += pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The same as arrays, without what is no number or not wanted."""

    series: Sequence[tuple[str, str]]
    codes: Int64
    time_us: Int64
    value: Float64


def level_rows(
    name: str, result: Iterable[Any], subject_of: SubjectOf, *, is_metered: bool, after_us: int
) -> Iterator[MetricRows]:
    """The values of an expression: levels that go on as they are.

    Args:
        name: of the metric.
        result: series, as Prometheus gives them.
        subject_of: whom a series is about.
        is_metered: whether others measure it from outside.
        after_us: values at this instant and before are known already.
    """
    for (service, instance, identity), columns in _grouped(result, subject_of, lambda _: name).items():
        read = _read(columns, after_us)
        if len(read.time_us):
            names = tuple([metric + labels for metric, labels in read.series])
            yield MetricRows(
                service=service,
                instance=instance,
                identity=identity,
                time_us=read.time_us,
                name=Coded(names=names, codes=read.codes),
                value=read.value,
                is_metered=is_metered,
            )


def sample_rows(
    name: str,
    result: Iterable[Any],
    subject_of: SubjectOf,
    is_counter: Callable[[str], bool],
    *,
    raw: bool,
    after_us: int,
) -> Iterator[PointRows]:
    """Samples as they were scraped: counters as such, for their rates, and as levels where wanted.

    Args:
        name: of the metric; empty for the one that each series has.
        result: series, as Prometheus gives them.
        subject_of: whom a series is about.
        is_counter: tells by the name of a metric.
        raw: whether values of counters go on, too.
        after_us: samples at this instant and before are known already.
    """

    def name_of(labels: Mapping[str, str]) -> str:
        return name or labels.get("__name__", "")

    for (service, instance, identity), columns in _grouped(result, subject_of, name_of).items():
        read = _read(columns, after_us)
        if not len(read.time_us):
            continue
        counts = np.array([is_counter(metric) for metric, _ in read.series], np.bool_)[read.codes]
        levels = np.flatnonzero(~counts | raw)
        for at, temporality in ((np.flatnonzero(counts), CUMULATIVE), (levels, LEVEL)):
            if len(at):
                yield PointRows(
                    service=service,
                    instance=instance,
                    identity=identity,
                    time_us=read.time_us[at],
                    start_us=np.zeros(len(at), np.int64),
                    series=_series_column(read.series, read.codes[at]),
                    value=read.value[at],
                    temporality=np.full(len(at), temporality, np.uint8),
                )


def looks_like_counter(metric: str) -> bool:
    """Whether a metric of which Prometheus knows no type has the name of a counter."""
    return metric.endswith(_COUNTER_ENDINGS)


def _grouped(
    result: Iterable[Any], subject_of: SubjectOf, name_of: Callable[[Mapping[str, str]], str]
) -> dict[tuple[str, str, Identity], _Columns]:
    groups: dict[tuple[str, str, Identity], _Columns] = {}
    for each in result:
        subject = subject_of(each["metric"])
        # Native histograms have no values.
        if subject is None or not each.get("values"):
            continue
        key = (subject.service, subject.instance, subject.identity)
        columns = groups.setdefault(key, _Columns())
        columns.add(cut(name_of(each["metric"])), labels_text(subject.labels), each["values"])
    return groups


def _read(columns: _Columns, after_us: int) -> _Read:
    # Not by zip(*pairs): one argument a value takes longer than all the rest.
    flat: list[Any] = list(itertools.chain.from_iterable(columns.pairs))
    seconds = np.array(flat[::2], np.float64)
    time_us = np.rint(seconds * 1e6).astype(np.int64)
    value = np.array(list(map(float, flat[1::2])), np.float64)
    codes = np.repeat(np.arange(len(columns.lengths)), columns.lengths)
    # A share of nothing is no number, and a quantile beyond the last bucket none that can be reckoned with.
    kept = np.isfinite(value) & (time_us > after_us)
    return _Read(series=columns.series, codes=codes[kept], time_us=time_us[kept], value=value[kept])


def _series_column(series: Sequence[tuple[str, str]], codes: Int64) -> CodedSeries:
    used, places = np.unique(codes, return_inverse=True)
    metrics, labels = zip(*[series[at] for at in used.tolist()], strict=True)
    return CodedSeries(
        metrics=metrics,
        labels=labels,
        scopes=tuple(itertools.repeat("", len(used))),
        codes=places.astype(np.int64),
    )
