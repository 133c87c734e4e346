from __future__ import annotations

from services.workload.cache import Cache, Caches


def test_a_key_is_held_until_its_time_is_over() -> None:
    cache = Cache(ttl_s=10)
    cache.put("a", 0.0)
    assert cache.hit("a", 9.0)
    assert not cache.hit("a", 10.0)


def test_the_key_used_longest_ago_makes_room() -> None:
    cache = Cache(capacity=2)
    for key in ("a", "b"):
        cache.put(key, 0.0)
    cache.hit("a", 1.0)
    cache.put("c", 1.0)
    assert [cache.hit(key, 2.0) for key in ("a", "b", "c")] == [True, False, True]


def test_a_dropped_key_is_a_miss() -> None:
    cache = Cache()
    cache.put("a", 0.0)
    cache.drop("a")
    assert not cache.hit("a", 0.0)


def test_the_hit_ratio_is_of_the_reads_since_it_was_asked() -> None:
    caches = Caches()
    assert caches.hit_ratio() is None
    caches["carts"].hit("a", 0.0)
    caches["carts"].put("a", 0.0)
    assert caches.hit_ratio() == 0.0
    caches["carts"].hit("a", 0.0)
    assert caches.hit_ratio() == 1.0
    assert caches.hit_ratio() is None
