"""In which order services are launched: what can be launched at once forms a wave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from microservo.errors import InvalidInput


def launch_waves(
    orders: Mapping[str, int], dependencies: Iterable[tuple[str, str]]
) -> tuple[tuple[str, ...], ...]:
    """The services by wave: each is in the first wave in which all that it waits for came before.

    A service waits for what it depends on. Of two that depend on each other, directly or through others, the
    one with the smaller launch order comes first: nobody waits for a service with a larger one.

    Args:
        orders: launch order of each service.
        dependencies: (service, what it depends on); those on services that are not launched don't count.

    Returns:
        Names, sorted within each wave.

    Raises:
        InvalidInput: services of one order wait for one another; names the cycle.

    Example:
        >>> launch_waves({"front": 0, "cart": 0, "ads": 0}, [("front", "cart"), ("front", "ads")])
        (('ads', 'cart'), ('front',))
        >>> launch_waves({"user": 2, "graph": 1}, [("user", "graph"), ("graph", "user")])
        (('graph',), ('user',))
    """
    awaited = _awaited(orders, dependencies)
    launched: set[str] = set()
    waves = []
    while len(launched) < len(orders):
        wave = tuple(sorted(name for name in orders if name not in launched and awaited[name] <= launched))
        if not wave:
            cycle = " -> ".join(_cycle({name: awaited[name] - launched for name in orders}))
            msg = f"{cycle}: each waits for the next; give one of them a smaller launch order"
            raise InvalidInput(msg)
        waves.append(wave)
        launched.update(wave)
    return tuple(waves)


def _awaited(orders: Mapping[str, int], dependencies: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """For each service, what it waits for."""
    awaited: dict[str, set[str]] = {name: set() for name in orders}
    for service, dependency in dependencies:
        is_launched = service in orders and dependency in orders
        if is_launched and orders[dependency] <= orders[service] and dependency != service:
            awaited[service].add(dependency)
    return awaited


def _cycle(awaited: Mapping[str, set[str]]) -> list[str]:
    """A cycle among services of which each left over waits for another one left over."""
    path = [min(name for name in awaited if awaited[name])]
    while (following := min(awaited[path[-1]])) not in path:
        path.append(following)
    return [*path[path.index(following) :], following]
