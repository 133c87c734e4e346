"""Reads a Prometheus from where it was left, up to what is complete by now.

::

    cursor                                    newest step that is complete          now
       |  (----------- a page, 10 min at most -----------]  |--- complete_after_s ---|
          steps, and samples, in (cursor, end]: an edge belongs to one page only

All instants are multiples of the step. What a query can't give costs only that query; a Prometheus that is
away costs time: the cursor stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial

from microservo.domain.rows import MetricRows, PointRows
from microservo.errors import InvalidInput
from microservo.runtime.log_limit import LogLimit
from microservo.sources.prometheus.api import PrometheusApi, Series
from microservo.sources.prometheus.identity import Subject, subject_of
from microservo.sources.prometheus.owners import Owners
from microservo.sources.prometheus.queries import Asked, Evaluated, Sampled, queries_of
from microservo.sources.prometheus.rows import level_rows, looks_like_counter, sample_rows
from microservo.sources.prometheus.settings import Of, PrometheusSettings
from microservo.sources.tailed import Cursors, Page, Place, TailedSource

logger = logging.getLogger(__name__)

_PAGE_S = 600
_LEARN_US = 30_000_000
_READING_S = 2.0
"""What a reading may take, beyond the interval, before what it gives is late."""
_METERED: frozenset[Of] = frozenset({"pod", "istio-destination", "istio-source"})
"""What a kubelet or a proxy says of a service is no sign of its own life."""


class PrometheusTail:
    """The samples of one Prometheus; the cursor is the last microsecond that was read.

    Args:
        settings: which one, and what it is asked.
        clock: epoch microseconds UTC.

    Raises:
        InvalidInput: a query can't be used.
        Unavailable: the library is not installed.
    """

    def __init__(self, settings: PrometheusSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._queries = queries_of(settings)
        self._api = PrometheusApi(settings)
        self._owners = Owners()
        self._types: Mapping[str, str] = {}
        self._learned_us = 0
        self._refusals = LogLimit()
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="prometheus")

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        step_us = self._settings.grid_s * 1_000_000
        complete_us = self._clock() - round(self._settings.complete_after_s * 1e6)
        end_us = complete_us // step_us * step_us
        after_us = int(cursor) // step_us * step_us if cursor else end_us - step_us
        page_us = max(step_us, _PAGE_S * 1_000_000 // step_us * step_us)
        while after_us < end_us:
            until_us = min(end_us, after_us + page_us)
            yield self._page(after_us, until_us)
            after_us = until_us

    def due(self, begin_us: int, end_us: int) -> int:
        """Scrapes of all targets that were there in the range, or both before and after it."""
        span_ms = (end_us - begin_us) // 1000
        there, before, after = (
            f"count_over_time(up[{span_ms}ms]{offset})"
            for offset in (f" offset {span_ms}ms", f" offset {2 * span_ms}ms", "")
        )
        # A minute later, for not every server takes an offset into the future.
        targets = self._number(f"count({there} or ({before} and {after}))", end_us + span_ms * 1000)
        return round(targets * span_ms / 1e3 / self._settings.scrape_s)

    def between(self, begin_us: int, end_us: int) -> Iterator[Page]:
        """What it holds with `begin_us <= time < end_us`, in one page."""
        # Its instants are whole milliseconds.
        after_us, until_us = begin_us - 1000, end_us - 1000
        page = self._page(after_us, until_us)
        scrapes = self._number(f"sum(count_over_time(up[{(end_us - begin_us) // 1000}ms]))", until_us)
        yield replace(page, held=round(scrapes))

    def close(self) -> None:
        self._asking.shutdown()
        self._api.close()

    def _page(self, after_us: int, until_us: int) -> Page:
        self._learn(until_us)
        rows: list[MetricRows | PointRows] = []
        left_out = []
        with closing(self._answers(after_us, until_us)) as answers:
            for query, answer in answers:
                try:
                    rows += self._rows(query, answer.result(), after_us)
                except InvalidInput as error:
                    what = query.expr if isinstance(query, Evaluated) else query.selector
                    left_out.append(what)
                    if (end := self._refusals.end_of_line("", what)) is not None:
                        logger.warning("%s is left out: %s%s", what, error, end)
        place = Place(str(until_us), until_us)
        return Page(signal="metrics", rows=tuple(rows), place=place, left_out=tuple(left_out))

    def _number(self, expr: str, at_us: int) -> float:
        found = self._api.instant(expr, at_us)
        return float(found[0]["value"][1]) if found else 0.0

    def _learn(self, at_us: int) -> None:
        if abs(at_us - self._learned_us) < _LEARN_US:
            return
        self._types = self._api.types()
        if any(query.of == "pod" for query in self._queries):
            pods, sets = (
                self._api.instant(name, at_us) for name in ("kube_pod_owner", "kube_replicaset_owner")
            )
            self._owners.learn(pods, sets)
        self._learned_us = at_us

    def _answers(
        self, after_us: int, until_us: int
    ) -> Generator[tuple[Asked, Future[list[Sequence[Series]]]], None, None]:
        """What each query gives; the next one is on its way while one is made into rows."""
        ahead: Future[list[Sequence[Series]]] | None = None
        try:
            for number, query in enumerate(self._queries, 1):
                answer = ahead or self._asking.submit(self._ask, query, after_us, until_us)
                ahead = None
                for following in self._queries[number : number + 1]:
                    ahead = self._asking.submit(self._ask, following, after_us, until_us)
                yield query, answer
        finally:
            # The connection is for one thread at a time.
            if ahead is not None:
                ahead.exception()

    def _ask(self, query: Asked, after_us: int, until_us: int) -> list[Sequence[Series]]:
        """The series that a query gives, in parts of time."""
        if isinstance(query, Sampled):
            return [self._api.samples(query.selector, after_us, until_us)]
        step_s = self._settings.grid_s
        first_s, last_s = ((each // (step_s * 1_000_000)) * step_s for each in (after_us, until_us))
        return list(self._api.grid(query.expr, first_s + step_s, last_s, step_s))

    def _rows(
        self, query: Asked, parts: Sequence[Sequence[Series]], after_us: int
    ) -> Iterator[MetricRows | PointRows]:
        subjects, is_metered = self._subjects(query.of), query.of in _METERED
        for part in parts:
            if isinstance(query, Evaluated):
                yield from level_rows(query.name, part, subjects, is_metered=is_metered, after_us=after_us)
            else:
                is_counter = partial(self._is_counter, query)
                yield from sample_rows(
                    query.name, part, subjects, is_counter, raw=query.raw, after_us=after_us
                )

    def _is_counter(self, query: Sampled, metric: str) -> bool:
        if query.is_counter is not None:
            return query.is_counter
        known = self._types.get(metric, "")
        return known == "counter" if known in ("counter", "gauge") else looks_like_counter(metric)

    def _subjects(self, of: Of) -> Callable[[Mapping[str, str]], Subject | None]:
        return lambda labels: subject_of(labels, of, self._owners.of)


def prometheus_source(
    settings: PrometheusSettings, clock: Callable[[], int], cursors: Cursors
) -> TailedSource:
    """Reads a Prometheus once in a step; raises as `PrometheusTail`."""
    delay_s = settings.complete_after_s + settings.grid_s + _READING_S
    return TailedSource(
        settings.name,
        PrometheusTail(settings, clock),
        cursors,
        interval_s=settings.grid_s,
        delay_us=round(delay_s * 1e6),
    )
