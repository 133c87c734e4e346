"""`python -m benchmarks.sources`: reading stores as sources do, beside their plain clients, on the same data.

Both run one after the other, round by round, so that what else the machine does meets both. Start the stores
yourself and give their addresses; see `tests/support/real_elasticsearch.py` and `real_prometheus.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from prometheus_api_client import PrometheusConnect

from microservo.adapters.clock import now_us
from microservo.sources.documents.logs import LOG_FIELDS
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.elasticsearch.tail import ElasticsearchTail
from microservo.sources.prometheus.settings import PrometheusSettings, Query
from microservo.sources.prometheus.tail import PrometheusTail

_INDEX = "benchmark-logs"
_PAGE = 5000
_EXPRS = tuple(f'label_replace(vector(time() + {each}), "job", "shop", "", "")' for each in range(8))
"""A source asks for more than one thing; what it learns once in a while costs as much for one as for many."""
_STEPS = 11_000


def main() -> None:
    """Measures and prints a line for each store."""
    arguments = _arguments()
    if arguments.elasticsearch:
        client = Elasticsearch(arguments.elasticsearch, request_timeout=120)
        _fill(client, arguments.documents)
        _compare(
            "elasticsearch tail against the plain client's paging",
            arguments.rounds,
            lambda: _tail(arguments.elasticsearch),
            lambda: sum(map(len, _pages(client))),
        )
        client.close()
    if arguments.prometheus:
        last_s = int(time.time()) - 60
        tail, connect = _prometheus(arguments.prometheus), PrometheusConnect(url=arguments.prometheus)
        _compare(
            "prometheus range read against custom_query_range",
            arguments.rounds,
            lambda: _range(tail, last_s),
            lambda: _plain_range(connect, last_s),
        )
        tail.close()


def _compare(what: str, rounds: int, ours: Callable[[], int], plain: Callable[[], int]) -> None:
    ours()
    plain()
    speeds: dict[str, list[float]] = {"ours": [], "plain": []}
    cpu: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        for name, read in (("plain", plain), ("ours", ours)):
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
            count = read()
            speeds[name].append(count / (time.perf_counter() - begin_s))
            cpu[name].append(count / (time.process_time() - begin_cpu_s))
    middle = {name: statistics.median(found) for name, found in speeds.items()}
    middle_cpu = {name: statistics.median(found) for name, found in cpu.items()}
    print(
        f"{what}: {middle['ours']:,.0f} of {middle['plain']:,.0f} records/s "
        f"({middle['ours'] / middle['plain']:.0%}); by CPU second {middle_cpu['ours']:,.0f} of "
        f"{middle_cpu['plain']:,.0f} ({middle_cpu['ours'] / middle_cpu['plain']:.0%}); {rounds} rounds"
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elasticsearch", help="address, for example http://127.0.0.1:9200")
    parser.add_argument("--prometheus", help="address, for example http://127.0.0.1:9090")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
