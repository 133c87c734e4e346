"""Follows indices from where it was left: a point in time for each look, a cursor of time across looks.

::

    time ──►   | sweep, every 30 s |  overlap  |        new          |  lag  | now
               [--- read again, and known ones left out ---[---------)

- A look sees the documents of one instant (PIT), page by page (`search_after`); the next look opens another,
  so that a rollover's new index is seen. What orders documents of one instant holds in a PIT only, and is
  never kept.
- What came late lies behind the cursor. So looks overlap, and documents that were given are known by their
  ids. Where `event.ingested` says when a document came, it is found however late that was.
- A page of which a shard failed or time ran out is no page: it may lack some. The cursor stays before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microservo.adapters.otlp.checks import Refused
from microservo.domain.rows import Rows
from microservo.domain.telemetry import Signal, UInt64
from microservo.errors import Retryable
from microservo.sources.documents.fields import TIME, microseconds
from microservo.sources.documents.logs import LOG_FIELDS, digests, log_rows
from microservo.sources.documents.spans import SPAN_FIELDS, span_rows
from microservo.sources.elasticsearch.client import make_client, translated
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.tailed import Cursors, Page, Place, TailedSource

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_KEEP_ALIVE = "2m"
_FORMAT = "strict_date_optional_time_nanos"
_INGESTED = "event.ingested"
_SWEEP_EVERY_US = 30_000_000
_FORGET_US = 4 * _SWEEP_EVERY_US
"""Two sweeps may fail before what is still within them is forgotten."""
_READING_S = 3.0
"""What a look may take, beyond the interval, before what it gives is late."""
_SENDING_S = 0.002
"""What it takes to send a request: CPython would give the thread that does a turn only every 5 ms."""

Hit = Mapping[str, Any]
Clause = dict[str, Any]
"""Part of a query, in the language of Elasticsearch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Feed:
    """What is read of a signal."""

    signal: Signal
    indices: str
    fields: Sequence[str]


class ElasticsearchTail:
    """The log lines and spans of one Elasticsearch; the cursor is an instant for each of both.

    Args:
        settings: which one, and which indices.
        clock: epoch microseconds UTC.

    Raises:
        Unavailable: the library is not installed.
    """

    def __init__(self, settings: ElasticsearchSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._client = make_client(settings)
        feeds = (
            _Feed(signal="logs", indices=",".join(settings.logs), fields=LOG_FIELDS),
            _Feed(signal="traces", indices=",".join(settings.traces), fields=SPAN_FIELDS),
        )
        self._feeds = [each for each in feeds if each.indices]
        self._seen: dict[str, _Seen] = {each.signal: _Seen() for each in self._feeds}
        self._swept_us = 0
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="elasticsearch")

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        now_us = self._clock()
        end_us = now_us - round(self._settings.lag_s * 1e6)
        places: dict[str, int] = json.loads(cursor) if cursor else {}
        back_s = self._settings.overlap_s
        if now_us - self._swept_us >= _SWEEP_EVERY_US:
            back_s, self._swept_us = max(back_s, self._settings.sweep_s), now_us
        for feed in self._feeds:
            # A first look begins with what is new: what is older no window waits for.
            begin_us = places.setdefault(feed.signal, end_us)
            from_us = begin_us - round(back_s * 1e6)
            for hits in self._look(feed, _since(from_us, TIME, _INGESTED), end_us):
                places[feed.signal] = max(places[feed.signal], _reached_us(hits))
                new, ids = self._seen[feed.signal].new(hits, now_us)
                yield self._page(feed, new, ids, _place(places))
            places[feed.signal] = max(places[feed.signal], end_us)
            yield Page(signal=feed.signal, rows=(), place=_place(places))
            # Each sweep meets all that a later look may meet.
            self._seen[feed.signal].forget(now_us - _FORGET_US)

    def due(self, begin_us: int, end_us: int) -> int:
        """Documents of all feeds."""
        return sum(self._count(feed, begin_us, end_us) for feed in self._feeds)

    def between(self, begin_us: int, end_us: int) -> Iterator[Page]:
        """Documents with `begin_us <= @timestamp < end_us`, whenever they came."""
        for feed in self._feeds:
            for hits in self._look(feed, _since(begin_us, TIME), end_us):
                yield self._page(feed, hits, _ids(hits), Place("", _reached_us(hits)))

    def close(self) -> None:
        self._asking.shutdown()
        self._client.close()

    def _count(self, feed: _Feed, begin_us: int, end_us: int) -> int:
        with translated(self._settings.url):
            answer = self._client.count(
                index=feed.indices,
                query=_query(_since(begin_us, TIME), end_us),
                ignore_unavailable=True,
                expand_wildcards="open",
            ).body
        shards = answer["_shards"]
        # A shard of which no copy is there is not counted among those that failed.
        missing = shards["total"] - shards["successful"]
        if missing:
            msg = f"elasticsearch can't count documents: {missing} of {shards['total']} shards did not answer"
            raise Retryable(msg)
        return int(answer["count"])

    def _look(self, feed: _Feed, since: Sequence[Clause], end_us: int) -> Iterator[Sequence[Hit]]:
        """Pages of what matches one of some clauses and lies before an instant, in order of time."""
        with translated(self._settings.url):
            pit = _PointInTime(self._client, feed, self._settings.page, _query(since, end_us))
        try:
            asked = self._asking.submit(pit.search, None)
            while True:
                with translated(self._settings.url):
                    hits = asked.result()
                if not hits:
                    break
                # The next page is on its way while this one is made into rows.
                asked = self._asking.submit(pit.search, hits[-1]["sort"])
                wait((asked,), timeout=_SENDING_S)
                yield hits
        finally:
            asked.exception()
            pit.close()

    def _page(self, feed: _Feed, hits: Sequence[Hit], ids: UInt64, place: Place) -> Page:
        documents = [hit["fields"] for hit in hits]
        unusable: list[Refused] = []
        rows: Sequence[Rows]
        if feed.signal == "logs":
            rows = tuple(log_rows(documents, ids))
        else:
            rows = tuple(span_rows(documents, unusable))
        return Page(signal=feed.signal, rows=rows, refused=unusable, place=place, held=len(hits))


class _PointInTime:
    """One look at indices as they are now."""

    def __init__(self, client: Elasticsearch, feed: _Feed, page: int, query: Clause) -> None:
        self._client = client
        self._page = page
        self._fields = [{"field": TIME, "format": _FORMAT}, *({"field": name} for name in feed.fields)]
        self._query = query
        self._id: str = client.open_point_in_time(
            index=feed.indices, keep_alive=_KEEP_ALIVE, ignore_unavailable=True, expand_wildcards="open"
        )["id"]

    def search(self, after: Sequence[Any] | None) -> Sequence[Hit]:
        """The page behind a sort value; raises as the client does, and Retryable for a page with holes."""
        answer = self._client.search(
            pit={"id": self._id, "keep_alive": _KEEP_ALIVE},
            size=self._page,
            query=self._query,
            fields=self._fields,
            source=False,
            track_total_hits=False,
            allow_partial_search_results=False,
            sort=[
                {TIME: {"order": "asc", "format": _FORMAT, "numeric_type": "date_nanos"}},
                {"_shard_doc": "asc"},
            ],
            search_after=after,
        ).body
        self._id = answer.get("pit_id", self._id)
        shards = answer["_shards"]
        missing = shards["total"] - shards["successful"]
        if missing or answer["timed_out"]:
            why = "it ran out of time" if answer["timed_out"] else f"{missing} shards failed"
            msg = f"a page of elasticsearch may lack documents: {why}; it is read again"
            raise Retryable(msg)
        found: Sequence[Hit] = answer["hits"]["hits"]
        return found

    def close(self) -> None:
        """Frees what the server keeps for it; it would end by itself."""
        from elasticsearch import ApiError, TransportError  # noqa: PLC0415 - an extra

        try:
            self._client.close_point_in_time(id=self._id)
        except (ApiError, TransportError):
            return


class _Seen:
    """The documents that were given, with when each was met last, in microseconds UTC."""

    def __init__(self) -> None:
        self._met_us: dict[int, int] = {}

    def new(self, hits: Sequence[Hit], now_us: int) -> tuple[Sequence[Hit], UInt64]:
        """Those that were not given yet, with their ids; from now on they were."""
        ids = _ids(hits)
        keys = ids.tolist()
        new = [place for place, key in enumerate(keys) if key not in self._met_us]
        self._met_us.update(dict.fromkeys(keys, now_us))
        return (hits, ids) if len(new) == len(hits) else ([hits[place] for place in new], ids[new])

    def forget(self, before_us: int) -> None:
        """Forgets those that were not met since an instant."""
        self._met_us = {key: met_us for key, met_us in self._met_us.items() if met_us >= before_us}


def _since(begin_us: int, *fields: str) -> list[Clause]:
    """One clause for each field that may say so."""
    return [{"range": {name: {"gte": _instant(begin_us), "format": _FORMAT}}} for name in fields]


def _query(since: Sequence[Clause], end_us: int) -> Clause:
    before = {"range": {TIME: {"lt": _instant(end_us), "format": _FORMAT}}}
    return {"bool": {"filter": [before, {"bool": {"should": since, "minimum_should_match": 1}}]}}


def _place(places: Mapping[str, int]) -> Place:
    return Place(json.dumps(places), min(places.values()))


def _reached_us(hits: Sequence[Hit]) -> int:
    return int(microseconds([hits[-1]["fields"][TIME][0]])[0])


def _ids(hits: Sequence[Hit]) -> UInt64:
    return digests([f"{hit['_index']}\0{hit['_id']}" for hit in hits])


def _instant(time_us: int) -> str:
    return f"{np.datetime64(time_us, 'us')}Z"


def elasticsearch_source(
    settings: ElasticsearchSettings, clock: Callable[[], int], cursors: Cursors
) -> TailedSource:
    """Follows an Elasticsearch; raises as `ElasticsearchTail`."""
    delay_s = settings.lag_s + settings.interval_s + _READING_S
    return TailedSource(
        settings.name,
        ElasticsearchTail(settings, clock),
        cursors,
        interval_s=settings.interval_s,
        delay_us=round(delay_s * 1e6),
    )
