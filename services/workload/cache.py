"""The in-process caches of an instance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from microservo.domain.topology import Endpoint

_ROWS, _ROWS_TTL_S = 512, 30.0


class Cache:
    """Remembers which keys were read lately: at most `capacity`, each for `ttl_s` seconds.

    Args:
        outages: by name of what makes it unavailable, told of each read meanwhile; it holds nothing then.
    """

    def __init__(
        self, *, capacity: int, ttl_s: float, outages: dict[str, Callable[[], None]] | None = None
    ) -> None:
        self._capacity = capacity
        self._ttl_s = ttl_s
        self._outages = {} if outages is None else outages
        self._expiry_s: OrderedDict[str, float] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def hit(self, key: str, now_s: float) -> bool:
        """Whether `key` is held; counted."""
        if self._outages:
            self._expiry_s.clear()
            for lost in self._outages.values():
                lost()
        held = self._expiry_s.get(key, 0.0) > now_s
        if held:
            self._expiry_s.move_to_end(key)
            self.hits += 1
        else:
            self.misses += 1
        return held

    def put(self, key: str, now_s: float) -> None:
        if self._outages:
            return
        self._expiry_s[key] = now_s + self._ttl_s
        self._expiry_s.move_to_end(key)
        if len(self._expiry_s) > self._capacity:
            self._expiry_s.popitem(last=False)

    def drop(self, key: str) -> None:
        self._expiry_s.pop(key, None)


class Caches:
    """The caches of a service by name; one that several endpoints read is as the first of them says.

    Attributes:
        outages: of all of them, as `Cache` says.
        rows: the cache of the database.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.outages: dict[str, Callable[[], None]] = {}
        self.rows = Cache(capacity=_ROWS, ttl_s=_ROWS_TTL_S, outages=self.outages)
        self._caches: dict[str, Cache] = {}
        for each in endpoints:
            if each.cache:
                cache = Cache(capacity=each.cache_capacity, ttl_s=each.cache_ttl_s, outages=self.outages)
                self._caches.setdefault(each.cache, cache)
        self._seen = (0, 0)

    def __getitem__(self, name: str) -> Cache:
        return self._caches[name]

    def drop(self, name: str, key: str) -> None:
        """Removes an entry of a cache, if there is such a cache."""
        if name in self._caches:
            self._caches[name].drop(key)

    def hit_ratio(self) -> float | None:
        """Share of reads since the last call that were hits; None when there were none."""
        caches = (self.rows, *self._caches.values())
        hits = sum(cache.hits for cache in caches)
        reads = hits + sum(cache.misses for cache in caches)
        new_hits, new_reads = hits - self._seen[0], reads - self._seen[1]
        self._seen = (hits, reads)
        return new_hits / new_reads if new_reads else None
