"""Media types, and unpacking that is bounded."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from microservo.adapters.otlp.media import Compression, Media, TooLarge, compression_of, media_of, unpack
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


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("", Compression.NONE),
        ("identity", Compression.NONE),
        ("GZIP", Compression.GZIP),
        ("deflate", Compression.DEFLATE),
        ("zstd", Compression.ZSTD),
    ],
)
def test_the_compressions_are_known(name: str, compression: Compression) -> None:
    assert compression_of(name) is compression


@pytest.mark.parametrize("name", ["snappy", "br", "gzip, gzip"])
def test_other_compressions_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="send gzip, deflate, zstd or none"):
        compression_of(name)


PACK: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.compress,
    Compression.DEFLATE: zlib.compress,
    Compression.ZSTD: zstandard.compress,
}
PACKED = [each for each in Compression if each is not Compression.NONE]


@pytest.mark.parametrize("size_bytes", [0, 1, 255 * 1024, 256 * 1024, 256 * 1024 + 1, 2 * MIB])
@pytest.mark.parametrize("compression", Compression)
def test_what_was_packed_is_unpacked(compression: Compression, size_bytes: int) -> None:
    body = bytes(index * 7 % 251 for index in range(997)) * (size_bytes // 997 + 1)
    assert unpack(PACK[compression](body[:size_bytes]), compression) == body[:size_bytes]


def test_deflate_without_a_header_is_unpacked() -> None:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert unpack(packer.compress(b"no header") + packer.flush(), Compression.DEFLATE) == b"no header"


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.ZSTD])
def test_members_follow_one_another(compression: Compression) -> None:
    pack = PACK[compression]
    assert unpack(pack(b"one ") + pack(b"two"), compression) == b"one two"


@pytest.mark.parametrize("cut_bytes", [1, 3, 9, 20])
@pytest.mark.parametrize("compression", PACKED)
def test_a_body_cut_short_is_invalid(compression: Compression, cut_bytes: int) -> None:
    with pytest.raises(InvalidMessage, match="cut short"):
        unpack(PACK[compression](b"some text that is long enough")[:-cut_bytes], compression)


@pytest.mark.parametrize(
    ("compression", "body"),
    [
        (Compression.GZIP, b"plain text"),
        (Compression.GZIP, zlib.compress(b"x")),
        (Compression.GZIP, gzip.compress(b"x", mtime=0) + b"rest"),
        (Compression.DEFLATE, b"plain text"),
        (Compression.DEFLATE, zlib.compress(b"x") + b"rest"),
        (Compression.ZSTD, b"plain text"),
        (Compression.ZSTD, zstandard.compress(b"x") + b"rest"),
    ],
)
def test_a_body_that_is_not_packed_so_is_invalid(compression: Compression, body: bytes) -> None:
    with pytest.raises(InvalidMessage, match=f"body is not {compression.value}"):
        unpack(body, compression)


@pytest.mark.parametrize("compression", PACKED)
def test_a_bomb_is_stopped_at_the_limit_and_fills_no_memory(compression: Compression) -> None:
    bomb = PACK[compression](bytes(64 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="more than 1048576 bytes"):
            unpack(bomb, compression, MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_a_body_that_asks_for_much_memory_to_unpack_it_is_invalid() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(100 * MIB))
    with pytest.raises(InvalidMessage, match="too much memory"):
        unpack(bomb, Compression.ZSTD)


@pytest.mark.parametrize("compression", PACKED)
def test_a_body_of_exactly_the_limit_passes(compression: Compression) -> None:
    assert len(unpack(PACK[compression](bytes(MIB)), compression, MIB)) == MIB
