"""Reading stores as sources do, beside their plain clients, on the same data: `python -m benchmarks.sources`.

Both run one after the other, round by round, so that what else the machine does meets both. The stores are
those of the tests (Elasticsearch of Maven's artefacts, Debian's Prometheus), or yours by their addresses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from prometheus_api_client import PrometheusConnect

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from benchmarks.real_systems import real_elasticsearch, real_prometheus
from microservo.adapters.clock import now_us
from microservo.sources.documents.logs import LOG_FIELDS
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.elasticsearch.tail import ElasticsearchTail
from microservo.sources.prometheus.settings import PrometheusSettings, Query
from microservo.sources.prometheus.tail import PrometheusTail

COMMAND = "python -m benchmarks.sources"
_INDEX = "benchmark-logs"
_PAGE = 5000
_EXPRS = tuple(f'label_replace(vector(time() + {each}), "job", "shop", "", "")' for each in range(8))
"""A source asks for more than one thing; what it learns once in a while costs as much for one as for many."""
_STEPS = 11_000


def _elasticsearch_figures(url: str, given: argparse.Namespace) -> Iterator[Figure]:
    """Documents a second that a tail reads from an index, against paging through it."""
    with Elasticsearch(url, request_timeout=120) as client:
        _fill(client, given.documents)
        yield from _compared(
            f"Elasticsearch tail, {given.documents:,} documents",
            "paging of the plain client",
            given.rounds,
            lambda: _tail(url),
            lambda: sum(map(len, _pages(client))),
        )


def _prometheus_figures(url: str, given: argparse.Namespace) -> Iterator[Figure]:
    """Points a second of a range read, against the plain client's."""
    last_s = int(time.time()) - 60
    tail, connect = _prometheus(url), PrometheusConnect(url=url)
    try:
        yield from _compared(
            f"Prometheus range read, {_STEPS * len(_EXPRS):,} points",
            "custom_query_range of the plain client",
            given.rounds,
            lambda: _range(tail, last_s),
            lambda: _plain_range(connect, last_s),
        )
    finally:
        tail.close()


def _compared(
    what: str, peer: str, rounds: int, ours: Callable[[], int], plain: Callable[[], int]
) -> Iterator[Figure]:
    """The medians of both, by the clock and by this process's processor time.

    Raises:
        RuntimeError: they did not read the same number of records.
    """
    if (mine := ours()) != (theirs := plain()):
        msg = f"{what}: {mine} records were read, and {theirs} by the {peer}"
        raise RuntimeError(msg)
    speeds: dict[str, list[float]] = {"ours": [], "plain": []}
    cpu: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        for name, read in (("plain", plain), ("ours", ours)):
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
            count = read()
            speeds[name].append(count / (time.perf_counter() - begin_s))
            cpu[name].append(count / (time.process_time() - begin_cpu_s))
    for found, unit in ((speeds, "records/s"), (cpu, "records/CPU s")):
        yield figure(
            what if found is speeds else f"{what}, for a second of this process's processor time",
            statistics.median(found["ours"]),
            unit,
            peer=f"{peer}, {rounds} rounds",
            peer_value=statistics.median(found["plain"]),
            command=COMMAND,
        )


def _fill(client: Elasticsearch, documents: int) -> None:
    client.indices.delete(index=_INDEX, ignore_unavailable=True)
    client.indices.create(
        index=_INDEX,
        settings={"number_of_replicas": 0, "number_of_shards": 2},
        mappings={
            "properties": {
                "@timestamp": {"type": "date"},
                "message": {"type": "text"},
                "log": {"properties": {"level": {"type": "keyword"}}},
            }
        },
    )
    begin = datetime.now(UTC) - timedelta(minutes=30)
    actions = (
        {
            "_index": _INDEX,
            "@timestamp": (begin + timedelta(milliseconds=number)).isoformat(),
            "message": f"GetCart served in {number % 97} ms for user {number}",
            "log": {"level": "INFO"},
            "kubernetes": {"namespace": "shop", "pod": {"name": f"cart-{number % 5}"}},
            "host": {"name": "node-1"},
        }
        for number in range(documents)
    )
    bulk(client, actions, chunk_size=5000)
    client.indices.refresh(index=_INDEX)


def _tail(url: str) -> int:
    settings = ElasticsearchSettings(url=url, logs=(_INDEX,), traces=(), page=_PAGE, overlap_s=0, sweep_s=0)
    tail = ElasticsearchTail(settings, now_us)
    cursor = json.dumps({"logs": now_us() - 3_600_000_000})
    count = sum(rows.count for page in tail.pages(cursor) for rows in page.rows)
    tail.close()
    return count


def _pages(client: Elasticsearch) -> Iterator[list[Any]]:
    pit = client.open_point_in_time(index=_INDEX, keep_alive="2m")["id"]
    after = None
    time_format = "strict_date_optional_time_nanos"
    for _ in itertools.count():
        found = client.search(
            pit={"id": pit, "keep_alive": "2m"},
            size=_PAGE,
            query={"range": {"@timestamp": {"gte": "now-1h"}}},
            fields=[
                {"field": "@timestamp", "format": time_format},
                *({"field": each} for each in LOG_FIELDS),
            ],
            source=False,
            track_total_hits=False,
            sort=[{"@timestamp": {"order": "asc", "format": time_format, "numeric_type": "date_nanos"}}],
            search_after=after,
        ).body
        hits = found["hits"]["hits"]
        if not hits:
            break
        yield hits
        after = hits[-1]["sort"]
    client.close_point_in_time(id=pit)


def _prometheus(url: str) -> PrometheusTail:
    queries = tuple(Query(expr=each, name=f"clock-{at}") for at, each in enumerate(_EXPRS))
    settings = PrometheusSettings(url=url, scrape_s=1, lag_s=0, kpis=(), query=queries)
    return PrometheusTail(settings, now_us)


def _range(tail: PrometheusTail, last_s: int) -> int:
    begin_us, end_us = ((last_s - before) * 1_000_000 for before in (_STEPS, 0))
    return sum(rows.count for page in tail.between(begin_us, end_us) for rows in page.rows)


def _plain_range(connect: PrometheusConnect, last_s: int) -> int:
    first, last = (datetime.fromtimestamp(each, UTC) for each in (last_s - _STEPS, last_s - 1))
    found = (connect.custom_query_range(each, first, last, "1") for each in _EXPRS)
    return sum(len(series["values"]) for each in found for series in each)


def _of_stores(folder: Path, given: argparse.Namespace) -> Iterator[Figure]:
    if given.elasticsearch:
        yield from _elasticsearch_figures(given.elasticsearch, given)
    else:
        with real_elasticsearch(folder / "elasticsearch") as store:
            yield from _elasticsearch_figures(store.url, given)
    if given.prometheus:
        yield from _prometheus_figures(given.prometheus, given)
    else:
        with real_prometheus(folder / "prometheus") as running:
            yield from _prometheus_figures(running.url, given)


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--elasticsearch", help="address of one to use, for example http://127.0.0.1:9200")
    parser.add_argument("--prometheus", help="likewise, for example http://127.0.0.1:9090")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    return run(parser, _of_stores, name="sources", title="Reading stores")


if __name__ == "__main__":
    sys.exit(main())
