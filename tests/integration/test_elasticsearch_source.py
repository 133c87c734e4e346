"""A real Elasticsearch is followed: each document once, whatever happens to indices, server and clocks."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError
from elasticsearch.helpers import BulkIndexError, bulk
from real_elasticsearch import RealElasticsearch, real_elasticsearch

from microservo.adapters.clock import now_us
from microservo.domain.rows import LogRows, SpanRows
from microservo.errors import Retryable
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.elasticsearch.tail import ElasticsearchTail, elasticsearch_source
from microservo.sources.source import Parcel
from microservo.sources.tailed import MemoryCursors, Page
from microservo.testing import eventually
from microservo.testing.sources import RecordingSink

pytestmark = pytest.mark.integration

S = 1_000_000
MAPPINGS = {
    "properties": {
        "@timestamp": {"type": "date"},
        "message": {"type": "text"},
        "log": {"properties": {"level": {"type": "keyword"}}},
        "service": {"properties": {"name": {"type": "keyword"}}},
    }
}
_LAG_S = 2.0
SETTINGS = {"number_of_replicas": 0, "number_of_shards": 2}


@pytest.fixture(scope="module")
def elastic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealElasticsearch]:
    with real_elasticsearch(tmp_path_factory.mktemp("elasticsearch")) as running:
        yield running


@pytest.fixture
def client(elastic: RealElasticsearch) -> Iterator[Elasticsearch]:
    with elastic.client() as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def let_settle() -> None:
    """Lets time pass until what was written is older than the lag: what is younger is not read yet."""
    time.sleep(_LAG_S + 0.5)


def settings(elastic: RealElasticsearch, *logs: str, **values: object) -> ElasticsearchSettings:
    given = {"url": elastic.url, "logs": logs, "traces": (), "lag_s": _LAG_S, "interval_s": 0.2, **values}
    return ElasticsearchSettings.model_validate(given)


def line(number: int, at: datetime | None = None) -> dict[str, object]:
    return {
        "@timestamp": (at or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "message": f"line {number}",
        "log": {"level": "WARN"},
        "service": {"name": "cart"},
    }


def write(client: Elasticsearch, index: str, numbers: Sequence[int], *, create: bool = False) -> None:
    actions = [{"_index": index, "_op_type": "create" if create else "index", **line(n)} for n in numbers]
    bulk(client, actions)


def lines(pages: Sequence[Page | Parcel]) -> Counter[str]:
    rows = [row for page in pages for row in page.rows if isinstance(row, LogRows)]
    return Counter(body for row in rows for body in row.bodies)


def followed(tail: ElasticsearchTail, cursor: str) -> tuple[list[Page], str]:
    pages = list(tail.pages(cursor))
    return pages, pages[-1].place.cursor if pages else cursor


def cursor_at(seconds_ago: float) -> str:
    return f'{{"logs": {now_us() - round(seconds_ago * S)}}}'


def test_each_document_comes_once_while_others_are_indexed_and_the_server_is_killed(
    elastic: RealElasticsearch, prefix: str
) -> None:
    index = f"{prefix}-logs"
    with elastic.client() as client:
        client.indices.create(index=index, settings=SETTINGS, mappings=MAPPINGS)
    acknowledged: list[int] = []
    over = threading.Event()

    def index_all() -> None:
        first = 0
        with elastic.client() as client:
            while not over.is_set():
                numbers = range(first, first + 50)
                with suppress(TransportError, ApiError, BulkIndexError):
                    write(client, index, numbers)
                    acknowledged.extend(numbers)
                first += 50
                time.sleep(0.02)

    sink = RecordingSink()
    source = elasticsearch_source(settings(elastic, f"{prefix}-*", page=100), now_us, MemoryCursors())
    writing = threading.Thread(target=index_all)
    source.start(sink)
    writing.start()
    try:
        eventually(lambda: len(acknowledged) >= 300, timeout_s=120, what="documents before")
        elastic.kill()
        time.sleep(0.5)
        elastic.start()
        eventually(lambda: len(acknowledged) >= 600, timeout_s=120, what="documents after")
    finally:
        over.set()
        writing.join()
    wanted = {f"line {number}" for number in acknowledged}
    eventually(lambda: wanted <= lines(sink.parcels).keys(), timeout_s=60, what="all that was acknowledged")
    source.stop()
    found = lines(sink.parcels)
    assert set(found.values()) == {1}, "none twice"
    rows = [row for parcel in sink.parcels for row in parcel.rows if isinstance(row, LogRows)]
    assert {(row.service, int(row.severity[0])) for row in rows} == {("cart", 13)}


def test_a_look_whose_point_in_time_is_gone_goes_on_where_it_was_and_nothing_comes_twice(
    elastic: RealElasticsearch, prefix: str
) -> None:
    with elastic.client() as client:
        client.indices.create(index=f"{prefix}-a", settings=SETTINGS, mappings=MAPPINGS)
        write(client, f"{prefix}-a", range(500))
        client.indices.refresh(index=f"{prefix}-a")
    let_settle()
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*", page=100), now_us)
    looking = tail.pages(cursor_at(30))
    got = [next(looking)]
    elastic.kill()
    elastic.start()
    with pytest.raises(Retryable, match="can't"):
        got.extend(looking)
    again, _ = followed(tail, got[-1].place.cursor)
    tail.close()
    found = lines([*got, *again])
    assert len(found) == 500
    assert set(found.values()) == {1}


def test_a_point_in_time_that_ran_out_is_no_loss(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.indices.create(index=f"{prefix}-a", settings=SETTINGS, mappings=MAPPINGS)
    write(client, f"{prefix}-a", range(500))
    client.indices.refresh(index=f"{prefix}-a")
    let_settle()
    monkeypatch.setattr("microservo.sources.elasticsearch.tail._KEEP_ALIVE", "1s")
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*", page=100), now_us)
    looking = tail.pages(cursor_at(30))
    got = [next(looking)]
    # Elasticsearch lets go of a point in time some seconds after it ran out.
    time.sleep(5)
    with pytest.raises(Retryable, match="404"):
        got.extend(looking)
    again, _ = followed(tail, got[-1].place.cursor)
    tail.close()
    found = lines([*got, *again])
    assert (len(found), set(found.values())) == (500, {1})


def test_aliases_data_streams_and_a_rollover_between_two_looks_are_read_under_their_names(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    client.indices.put_index_template(
        name=prefix,
        index_patterns=[f"{prefix}-stream-*"],
        data_stream={},
        template={"settings": SETTINGS, "mappings": MAPPINGS},
        priority=500,
    )
    client.indices.create(index=f"{prefix}-old", settings=SETTINGS, mappings=MAPPINGS)
    client.indices.put_alias(index=f"{prefix}-old", name=f"{prefix}-alias")
    stream = f"{prefix}-stream-default"
    write(client, f"{prefix}-alias", range(10))
    write(client, stream, range(10, 20), create=True)
    client.indices.refresh(index=f"{prefix}-old,{stream}")
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-alias", f"{prefix}-stream-*"), now_us)
    let_settle()
    first, cursor = followed(tail, cursor_at(30))
    client.indices.rollover(alias=stream)
    write(client, stream, range(20, 30), create=True)
    client.indices.refresh(index=stream)
    let_settle()
    second, _ = followed(tail, cursor)
    tail.close()
    assert sorted(lines(first)) == sorted(f"line {number}" for number in range(20))
    assert sorted(lines(second)) == sorted(f"line {number}" for number in range(20, 30))


def test_a_document_that_comes_late_is_read_and_one_that_says_when_it_came_however_late_it_is(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    client.indices.create(index=f"{prefix}-a", settings=SETTINGS, mappings=MAPPINGS)
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*", overlap_s=20, sweep_s=20), now_us)
    write(client, f"{prefix}-a", range(10))
    client.indices.refresh(index=f"{prefix}-a")
    let_settle()
    first, cursor = followed(tail, cursor_at(10))
    now = datetime.now(UTC)
    client.index(index=f"{prefix}-a", document=line(10, now - timedelta(seconds=12)))
    ingested = {"event": {"ingested": now.isoformat()}}
    client.index(index=f"{prefix}-a", document=line(11, now - timedelta(hours=2)) | ingested)
    client.index(index=f"{prefix}-a", document=line(12, now - timedelta(hours=2)))
    client.indices.refresh(index=f"{prefix}-a")
    second, cursor = followed(tail, cursor)
    third, _ = followed(tail, cursor)
    tail.close()
    assert len(lines(first)) == 10
    assert sorted(lines(second)) == ["line 10", "line 11"]
    assert not lines(third)


def test_documents_that_can_be_found_only_behind_newer_ones_are_read_once_each(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    # es-utils#13: shards refresh at instants of their own: what is older may come behind what is newer.
    for name in ("slow", "fast"):
        by_hand = {**SETTINGS, "refresh_interval": "-1"}
        client.indices.create(index=f"{prefix}-{name}", settings=by_hand, mappings=MAPPINGS)
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*", overlap_s=20), now_us)
    now, found = datetime.now(UTC), Counter[str]()
    cursor = cursor_at(10)
    for number in range(10):
        index = f"{prefix}-{'slow' if number % 2 else 'fast'}"
        client.index(index=index, document=line(number, now - timedelta(seconds=6 - number / 10)))
    client.indices.refresh(index=f"{prefix}-fast")
    pages, cursor = followed(tail, cursor)
    found += lines(pages)
    assert sorted(found) == [f"line {number}" for number in range(0, 10, 2)]
    client.indices.refresh(index=f"{prefix}-slow")
    for _ in range(2):
        pages, cursor = followed(tail, cursor)
        found += lines(pages)
    tail.close()
    assert found == Counter({f"line {number}": 1 for number in range(10)})


def test_of_a_past_range_each_document_is_read_once_whenever_it_came_and_as_many_as_are_counted(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    client.indices.create(index=f"{prefix}-a", settings=SETTINGS, mappings=MAPPINGS)
    begin = datetime(2026, 1, 31, 12, tzinfo=UTC)
    # Twelve in each minute, the first of them at its very beginning; all came much later.
    ingested = {"event": {"ingested": datetime.now(UTC).isoformat()}}
    for number in range(36):
        document = line(number, begin + timedelta(seconds=5 * number)) | ingested
        client.index(index=f"{prefix}-a", document=document)
    client.indices.refresh(index=f"{prefix}-a")
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*", page=5), now_us)
    begin_us = round(begin.timestamp() * S)
    found = []
    for minute in range(3):
        span_us = (begin_us + 60 * S * minute, begin_us + 60 * S * (minute + 1))
        pages = list(tail.between(*span_us))
        assert sum(page.held for page in pages) == tail.due(*span_us) == 12
        found.append(sorted(lines(pages)))
    tail.close()
    assert found == [sorted(f"line {n}" for n in range(12 * m, 12 * m + 12)) for m in range(3)]


def test_indices_that_are_not_there_yet_are_no_error_and_are_read_once_they_are(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    tail = ElasticsearchTail(settings(elastic, f"{prefix}-*"), now_us)
    pages, cursor = followed(tail, cursor_at(5))
    assert not lines(pages)
    client.indices.create(index=f"{prefix}-a", settings=SETTINGS, mappings=MAPPINGS)
    write(client, f"{prefix}-a", range(3))
    client.indices.refresh(index=f"{prefix}-a")
    let_settle()
    pages, _ = followed(tail, cursor)
    tail.close()
    assert len(lines(pages)) == 3


def test_spans_of_apm_and_of_opentelemetry_are_read_with_parents_outcome_and_pod(
    elastic: RealElasticsearch, client: Elasticsearch, prefix: str
) -> None:
    at = datetime.now(UTC)
    common = {
        "@timestamp": at.isoformat(timespec="milliseconds"),
        "trace": {"id": "0af7651916cd43dd8448eb211c80319c"},
        "service": {"name": "checkout"},
        "kubernetes": {"namespace": "shop", "pod": {"name": "checkout-7d9f8b6c5d-x2x4z"}},
    }
    transaction = common | {
        "processor": {"event": "transaction"},
        "timestamp": {"us": int(at.timestamp() * S) // 1000 * 1000 + 123},
        "transaction": {
            "id": "b7ad6b7169203331",
            "name": "PlaceOrder",
            "type": "request",
            "duration": {"us": 2500},
        },
        "parent": {"id": "a7ad6b7169203331"},
        "event": {"outcome": "failure"},
    }
    span = common | {
        "processor": {"event": "span"},
        "span": {
            "id": "c7ad6b7169203331",
            "name": "SELECT",
            "type": "db",
            "subtype": "postgresql",
            "duration": {"us": 1500},
            "destination": {"service": {"resource": "postgresql/orders"}},
        },
        "parent": {"id": "b7ad6b7169203331"},
        "event": {"outcome": "success"},
    }
    otel = {
        "@timestamp": common["@timestamp"],
        "trace_id": "1af7651916cd43dd8448eb211c80319c",
        "span_id": "d7ad6b7169203331",
        "parent_span_id": "c7ad6b7169203331",
        "name": "hipstershop.Cart/GetCart",
        "kind": "Client",
        "duration": 3_500_000,
        "status": {"code": "Unset"},
        "service.name": "frontend",
        "k8s": {"pod": {"name": "frontend-1"}},
        "attributes": {"rpc": {"system": "grpc", "grpc": {"status_code": 14}}, "server": {"address": "cart"}},
    }
    for document in (transaction, span, otel):
        client.index(index=f"{prefix}-traces", document=document)
    client.indices.refresh(index=f"{prefix}-traces")
    let_settle()
    tail = ElasticsearchTail(settings(elastic, traces=(f"{prefix}-*",)), now_us)
    pages = list(tail.pages(f'{{"traces": {now_us() - 10 * S}}}'))
    tail.close()
    rows = [row for page in pages for row in page.rows if isinstance(row, SpanRows)]
    by_service = {row.service: row for row in rows}
    apm, frontend = by_service["checkout"], by_service["frontend"]
    order = apm.span_id.tolist().index(bytes.fromhex("b7ad6b7169203331"))
    assert apm.identity.pod == "shop/checkout-7d9f8b6c5d-x2x4z"
    assert apm.start_us[order] % 1000 == 123, "microseconds, where it has them"
    assert sorted(zip(apm.duration_us.tolist(), apm.kind.tolist(), apm.error.tolist(), strict=True)) == [
        (1500, 3, 0),
        (2500, 2, 1),
    ]
    assert apm.parent_id[order].tobytes().hex() == "a7ad6b7169203331"
    assert "postgresql/orders" in apm.peer.names
    assert (frontend.duration_us[0], frontend.kind[0], frontend.protocol[0]) == (3500, 3, 2)
    assert frontend.error[0] == 1, "gRPC says UNAVAILABLE"
    assert frontend.address.names == ("cart",)
