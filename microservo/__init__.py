"""MicroServo: an event-driven testbed for operating microservices.

The library that users import; `Client` is where to begin, `Dataset` reads what was recorded, `RegistryClient`
finds and registers services, `BalancerClient` says to a load balancer which servers they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microservo.application.topics import Received
    from microservo.client import Client
    from microservo.client.balancer import BalancerClient
    from microservo.client.registry import RegistryClient
    from microservo.datasets.dataset import Dataset

__all__ = ["BalancerClient", "Client", "Dataset", "Received", "RegistryClient"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when first used: small processes import only their own part."""
    if name in __all__:
        from microservo.packages import check_packages  # noqa: PLC0415

        check_packages()
    if name == "Client":
        from microservo.client import Client  # noqa: PLC0415

        return Client
    if name == "Dataset":
        from microservo.datasets.dataset import Dataset  # noqa: PLC0415

        return Dataset
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
