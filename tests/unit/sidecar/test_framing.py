from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sidecar.framing import MAX_HEAD_BYTES, Frame, Framer, Head, RequestFramer, ResponseFramer

REQUESTS = (
    b"GET /GetCart?user=1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /AddItem HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /AddItem HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\na\r\n\nb\n\r\n0\r\nX: y\r\n\r\n"
    b"POST /Empty HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
)
RESPONSES = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    b"HTTP/1.1 204 No Content\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def messages(framer: Framer, chunks: list[bytes]) -> list[bytes]:
    """The bytes of each whole message, whatever the chunks."""
    found, current = [], b""
    for frame in (frame for chunk in chunks for frame in framer.feed(chunk)):
        current += frame.data
        if frame.ends:
            found.append(current)
            current = b""
    assert current == b""
    return found


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_requests_end_where_they_end_however_they_are_cut(cuts: list[int]) -> None:
    framer = RequestFramer()
    found = messages(framer, pieces(REQUESTS, cuts))
    assert b"".join(found) == REQUESTS
    assert [message.partition(b" HTTP")[0] for message in found] == [
        b"GET /GetCart?user=1",
        b"POST /AddItem",
        b"POST /AddItem",
        b"POST /Empty",
        b"HEAD /",
    ]
    assert not framer.opaque


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_responses_end_where_they_end_however_they_are_cut(cuts: list[int]) -> None:
    asked = iter(["GET", "GET", "HEAD", "GET", "GET"])
    framer = ResponseFramer(lambda: next(asked))
    found = messages(framer, pieces(RESPONSES, cuts))
    assert b"".join(found) == RESPONSES
    assert len(found) == 4  # the 100 belongs to the answer that follows
    assert not framer.opaque


def test_heads_name_method_and_endpoint() -> None:
    heads = [frame.head for frame in RequestFramer().feed(REQUESTS) if frame.head]
    assert heads[0] == Head("GET", "GetCart")
    assert heads[-1] == Head("HEAD", "")


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PING\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES,
        b"GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    ],
)
def test_what_is_not_http_passes_at_once_and_unchanged(data: bytes) -> None:
    framer = RequestFramer()
    assert b"".join(frame.data for frame in framer.feed(data)) == data
    assert framer.opaque
    assert framer.feed(b"more") == [Frame(b"more")]


def test_answer_without_a_length_runs_until_the_close() -> None:
    framer = ResponseFramer(lambda: "GET")
    frames = [*framer.feed(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1"), *framer.feed(b" 200 OK\r\n\r\n")]
    assert [frame.ends for frame in frames] == [False, False, False]


def test_a_head_that_never_ends_can_be_flushed() -> None:
    framer = RequestFramer()
    assert framer.feed(b"GET / HTTP/1.1\r\nHo") == []
    assert framer.flush() == b"GET / HTTP/1.1\r\nHo"
