"""MicroServo: an event-driven testbed for operating microservices.

The library that users import; `Client` is where to begin, `RegistryClient` finds and registers services,
`BalancerClient` says to a load balancer which servers they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microservo.application.topics import Received
    from microservo.client import Client
    from microservo.client.balancer import BalancerClient
    from microservo.client.registry import RegistryClient

__all__ = ["BalancerClient", "Client", "Received", "RegistryClient"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when first used: small processes import only their own part."""
    if name in __all__:
        from microservo.packages import check_packages  # noqa: PLC0415

        check_packages()
    if name == "Client":
        from microservo.client import Client  # noqa: PLC0415

        return Client
    if name == "BalancerClient":
        from microservo.client.balancer import BalancerClient  # noqa: PLC0415

        return BalancerClient
    if name == "RegistryClient":
        from microservo.client.registry import RegistryClient  # noqa: PLC0415

        return RegistryClient
    if name == "Received":
        from microservo.application.topics import Received  # noqa: PLC0415

        return Received
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
