"""A registry that answers on the loopback interface, without a broker and with a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from registrations import registry_itself

from microservo.runtime.api import api_app
from microservo.runtime.http import HttpServer
from microservo.testing import ManualClock
from services.registry.operations import API
from services.registry.registry import Registry

S = 1_000_000
TOKEN = "open-sesame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A registry, its clock, and where it is asked."""

    registry: Registry
    clock: ManualClock
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def new_registry(clock: ManualClock, name: str = "europe", seed: int = 7) -> Registry:
    """A registry by the clock of a test."""
    return Registry(
        registry_itself(name),
        clock=clock,
        monotonic_s=lambda: clock() / S,
        seed=seed,
        lease_s=4.0,
    )


@contextmanager
def serving(name: str = "europe", *, port: int = 0, token: str = TOKEN) -> Iterator[Served]:
    """Serves a registry that knows nothing yet."""
    clock = ManualClock(1_000 * S)
    registry = new_registry(clock, name)
    with HttpServer(api_app(API, registry, token=token, checks_host=True), port=port) as server:
        yield Served(registry=registry, clock=clock, port=server.port)
