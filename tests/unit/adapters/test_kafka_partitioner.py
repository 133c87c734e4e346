from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microservo.adapters.partitioner import murmur2, partition_of


# From Kafka's own UtilsTest.testMurmur2, where the values are signed.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_kafkas_known_values(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(key=st.binary(max_size=64), partitions=st.integers(min_value=1, max_value=1000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
