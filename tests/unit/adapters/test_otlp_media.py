"""Media types, and gzip that is bounded."""

import gzip
import tracemalloc
import zlib

import pytest

from microservo.adapters.otlp.media import Media, TooLarge, gunzip, is_gzip, media_of
from microservo.errors import InvalidInput, InvalidMessage

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("content_type", "media"),
    [
        ("application/x-protobuf", Media.PROTOBUF),
        ("application/json", Media.JSON),
        ("Application/JSON; charset=utf-8", Media.JSON),
    ],
)
def test_the_two_media_types_are_known(content_type: str, media: Media) -> None:
    assert media_of(content_type) is media


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/protobuf"])
def test_other_media_types_are_refused(content_type: str) -> None:
    with pytest.raises(InvalidInput, match="send application/x-protobuf or application/json"):
        media_of(content_type)


def test_other_compressions_are_refused() -> None:
    assert is_gzip("GZIP")
    assert not is_gzip("")
    assert not is_gzip("identity")
    with pytest.raises(InvalidInput, match="send gzip or none"):
        is_gzip("zstd")


@pytest.mark.parametrize("size_bytes", [0, 1, 255 * 1024, 256 * 1024, 256 * 1024 + 1, 2 * MIB])
def test_what_was_packed_is_unpacked(size_bytes: int) -> None:
    body = bytes(index * 7 % 251 for index in range(997)) * (size_bytes // 997 + 1)
    assert gunzip(gzip.compress(body[:size_bytes])) == body[:size_bytes]


def test_members_follow_one_another() -> None:
    assert gunzip(gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"


@pytest.mark.parametrize("cut_bytes", [1, 8, 9, 20])
def test_a_body_cut_short_is_invalid(cut_bytes: int) -> None:
    with pytest.raises(InvalidMessage, match="cut short"):
        gunzip(gzip.compress(b"some text that is long enough")[:-cut_bytes])


@pytest.mark.parametrize(
    "body",
    [b"plain text", zlib.compress(b"x"), gzip.compress(b"x") + b"rest"],
    # gzip writes the time of day into its bytes: they can't name a test that every worker must find.
    ids=["plain text", "zlib", "gzip and a rest"],
)
def test_a_body_that_is_no_gzip_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidMessage, match="not gzip"):
        gunzip(body)


def test_a_bomb_is_stopped_at_the_limit_and_fills_no_memory() -> None:
    bomb = gzip.compress(bytes(64 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="more than 1048576 bytes"):
            gunzip(bomb, MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_a_body_of_exactly_the_limit_passes() -> None:
    assert len(gunzip(gzip.compress(bytes(MIB)), MIB)) == MIB
