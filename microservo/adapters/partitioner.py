"""The partition that a key lands on: murmur2, as Java, Faust and librdkafka's `murmur2_random` have it."""

from __future__ import annotations

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def _mix(k: int) -> int:
    k = (k * _M) & _MASK
    k ^= k >> 24
    return (k * _M) & _MASK


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of `data`, unsigned, with Kafka's seed.

    Example:
        >>> murmur2(b"21")
        3321034988

    Source: org.apache.kafka.common.utils.Utils.murmur2.
    """
    whole = len(data) & ~3
    h = _SEED ^ len(data)
    for at in range(0, whole, 4):
        h = ((h * _M) & _MASK) ^ _mix(int.from_bytes(data[at : at + 4], "little"))
    rest = data[whole:]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to `partitions` - 1, of a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
