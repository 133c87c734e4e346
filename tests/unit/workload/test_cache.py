from __future__ import annotations

from microservo.domain.topology import Endpoint
from services.workload.cache import Cache, Caches


def test_a_key_is_held_until_its_time_is_over() -> None:
    cache = Cache(capacity=9, ttl_s=10)
    cache.put("a", 0.0)
    assert cache.hit("a", 9.0)
    assert not cache.hit("a", 10.0)


def test_the_key_used_longest_ago_makes_room() -> None:
    cache = Cache(capacity=2, ttl_s=30)
    for key in ("a", "b"):
        cache.put(key, 0.0)
    cache.hit("a", 1.0)
    cache.put("c", 1.0)
    assert [cache.hit(key, 2.0) for key in ("a", "b", "c")] == [True, False, True]


def test_a_dropped_key_is_a_miss() -> None:
    cache = Cache(capacity=9, ttl_s=30)
    cache.put("a", 0.0)
    cache.drop("a")
    assert not cache.hit("a", 0.0)


def test_the_hit_ratio_is_of_the_reads_since_it_was_asked() -> None:
    caches = Caches([Endpoint(name="GetCart", cache="carts")])
    assert caches.hit_ratio() is None
    caches["carts"].hit("a", 0.0)
    caches["carts"].put("a", 0.0)
    assert caches.hit_ratio() == 0.0
    caches["carts"].hit("a", 0.0)
    assert caches.hit_ratio() == 1.0
    assert caches.hit_ratio() is None


def test_a_cache_is_as_its_endpoint_says() -> None:
    caches = Caches(
        [
            Endpoint(name="GetCart", cache="carts", cache_capacity=1, cache_ttl_s=5),
            Endpoint(name="AddItem", invalidates="carts"),
        ]
    )
    for key in ("a", "b"):
        caches["carts"].put(key, 0.0)
    assert [caches["carts"].hit(key, 4.0) for key in ("a", "b")] == [False, True]
    assert not caches["carts"].hit("b", 5.0)
    caches.drop("carts", "b")
    assert not caches["carts"].hit("b", 4.0)
    caches.drop("a cache that nobody reads", "b")
