"""A look at an Elasticsearch that refuses, hastens or lacks a shard: nothing is lost, and it is said why."""

from __future__ import annotations

import base64
import hashlib
import ssl
from pathlib import Path

import pytest
from certificates import Authority
from pydantic import ValidationError
from stub_elasticsearch import Stub, answer, hit, stub_elasticsearch

from microservo.domain.rows import LogRows
from microservo.errors import MicroServoError, Retryable, Unavailable
from microservo.sources.elasticsearch.client import make_client
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.elasticsearch.tail import ElasticsearchTail
from microservo.sources.tailed import Page
from microservo.testing import ManualClock

NOW_US = 1_769_860_860_000_000
CURSOR = '{"logs": 1769860790000000}'


def tail_of(stub: Stub, **values: object) -> ElasticsearchTail:
    given = {"url": stub.url, "traces": (), "page": 2, **values}
    return ElasticsearchTail(ElasticsearchSettings.model_validate(given), ManualClock(NOW_US))


def read(tail: ElasticsearchTail, cursor: str = CURSOR) -> tuple[list[str], str, MicroServoError | None]:
    """The lines, the cursor, and the error that a look ended with."""
    pages: list[Page] = []
    error = None
    try:
        for page in tail.pages(cursor):
            pages.append(page)
    except MicroServoError as raised:
        error = raised
    lines = [body for page in pages for row in page.rows if isinstance(row, LogRows) for body in row.bodies]
    return lines, pages[-1].place.cursor if pages else cursor, error


def test_a_page_of_which_a_shard_failed_does_not_advance_the_cursor_and_is_read_again() -> None:
    good = answer([hit(1, "2026-01-31T12:00:01.000Z"), hit(2, "2026-01-31T12:00:02.000Z")])
    holes = answer([hit(3, "2026-01-31T12:00:09.000Z")], failed=1)
    whole = answer([hit(3, "2026-01-31T12:00:09.000Z"), hit(4, "2026-01-31T12:00:03.000Z")])
    with stub_elasticsearch(Stub(answers=[(200, good), (200, holes), (200, good), (200, whole)])) as stub:
        tail = tail_of(stub)
        first, cursor, error = read(tail)
        assert isinstance(error, Retryable)
        assert "1 shards failed" in str(error)
        assert (first, cursor) == (["line 1", "line 2"], '{"logs": 1769860802000000}')
        second, cursor, error = read(tail, cursor)
        tail.close()
    assert error is None
    assert second == ["line 3", "line 4"], "and what was given before is not given again"
    assert cursor == '{"logs": 1769860850000000}', "up to what is complete by now"
    assert stub.searches[0]["query"]["bool"]["filter"]
    assert stub.closed == ["pit-2", "pit-2"], "each look frees its point in time, under its newest id"


def test_a_shard_of_which_no_copy_is_there_is_missed_though_none_failed() -> None:
    holes = answer([hit(1)], absent=1)
    assert holes["_shards"]["failed"] == 0
    with stub_elasticsearch(Stub(answers=[(200, holes)], count={"count": 7, **holes})) as stub:
        tail = tail_of(stub)
        lines, cursor, error = read(tail)
        assert (lines, cursor) == ([], CURSOR)
        assert isinstance(error, Retryable)
        with pytest.raises(Retryable, match="1 of 2 shards did not answer"):
            tail.due(NOW_US - 120_000_000, NOW_US - 60_000_000)
        tail.close()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, answer([hit(1)], timed_out=True), "ran out of time"),
        (429, {"error": {"type": "circuit_breaking_exception"}, "status": 429}, "can't answer now (429)"),
        (503, {"error": {"type": "search_phase_execution_exception"}, "status": 503}, "can't answer now"),
        (404, {"error": {"type": "search_context_missing_exception"}, "status": 404}, "can't answer now"),
    ],
)
def test_what_passes_leaves_the_cursor_where_it_is(status: int, body: dict[str, object], reason: str) -> None:
    with stub_elasticsearch(Stub(answers=[(status, body)])) as stub:
        tail = tail_of(stub)
        lines, cursor, error = read(tail)
        assert (lines, cursor) == ([], CURSOR)
        assert isinstance(error, Retryable)
        assert reason in str(error)
        lines, _, error = read(tail, cursor)
        tail.close()
    assert error is None


def test_an_api_key_or_a_password_is_sent_and_one_that_is_missing_says_what_to_give(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("c2VjcmV0\n")
    basic = base64.b64encode(b"elastic:c2VjcmV0").decode()
    for authorization, given in (
        ("ApiKey c2VjcmV0", {"api_key_file": secret}),
        (f"Basic {basic}", {"username": "elastic", "password_file": secret}),
    ):
        with stub_elasticsearch(Stub(authorization=authorization)) as stub:
            tail = tail_of(stub, **given)
            assert read(tail)[2] is None
            tail.close()
            without = tail_of(stub)
            _, cursor, error = read(without)
            without.close()
        assert isinstance(error, Unavailable)
        assert "give api_key_file or username" in str(error)
        assert cursor == CURSOR
    with pytest.raises(Unavailable, match="can't be read"):
        tail_of(stub, api_key_file=tmp_path / "nothing")
    with pytest.raises(ValidationError, match="give one of them"):
        ElasticsearchSettings(url="http://a:9200", api_key_file=secret, username="x")


def test_a_server_is_trusted_by_its_authority_or_its_fingerprint_and_not_otherwise(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    certificate = authority.sign("server")
    der = ssl.PEM_cert_to_DER_cert(certificate[0].read_text())
    fingerprint = hashlib.sha256(der).hexdigest()
    with stub_elasticsearch(Stub(), certificate) as stub:
        for given in ({"ca_file": authority.certificate}, {"fingerprint": fingerprint}):
            tail = tail_of(stub, **given)
            assert read(tail)[2] is None
            tail.close()
        for wrong in ({}, {"fingerprint": "00" * 32}):
            tail = tail_of(stub, **wrong)
            error = read(tail)[2]
            tail.close()
            assert isinstance(error, Retryable)
            assert "can't be reached" in str(error)


def test_what_is_no_elasticsearch_is_told() -> None:
    with stub_elasticsearch(Stub(product=False)) as stub:
        tail = tail_of(stub)
        error = read(tail)[2]
        tail.close()
    assert isinstance(error, Unavailable)
    assert "is no Elasticsearch" in str(error)


@pytest.mark.parametrize(
    ("url", "is_compressed"),
    [
        ("http://127.0.0.1:9200", False),
        ("http://[::1]:9200", False),
        ("http://localhost:9200", False),
        ("https://store.example:9200", True),
    ],
)
def test_what_crosses_a_network_is_compressed_and_what_stays_on_the_machine_is_not(
    url: str, is_compressed: bool
) -> None:
    with make_client(ElasticsearchSettings(url=url)) as client:
        assert [node.config.http_compress for node in client.transport.node_pool.all()] == [is_compressed]
