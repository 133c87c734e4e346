"""What befalls calls before they leave the instance: nothing, but for the faults that are in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Disturbance(Protocol):
    """Stands between the instance and what it calls: its resolver, its network."""

    async def reach(self, service: str, url: str) -> str:
        """The address at which a service is reached, `url` or another, after as long as that takes.

        Raises:
            OSError: it is not found.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Impatience:
    """How calls of a service are made again: at once, when one has failed or has taken too long.

    Attributes:
        service: whose calls; "" of all.
        retries: of one call.
        after_us: what is too long, in microseconds.
        again: told of each call that is made again.
    """

    service: str
    retries: int
    after_us: int
    again: Callable[[], None]


class Outgoing:
    """What is in force on the calls of an instance, by the ids of faults."""

    def __init__(self) -> None:
        self.disturbances: dict[str, Disturbance] = {}
        self.impatience: dict[str, Impatience] = {}

    async def reach(self, service: str, url: str) -> str:
        """As `Disturbance.reach`, through all of them."""
        for disturbance in list(self.disturbances.values()):
            url = await disturbance.reach(service, url)
        return url

    def impatience_with(self, service: str) -> Impatience | None:
        """How calls of a service are made again, by the fault that came first; None: as it should be."""
        return next((each for each in self.impatience.values() if each.service in ("", service)), None)
