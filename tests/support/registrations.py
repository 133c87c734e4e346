"""Registrations for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.records import Registration

CART = Registration(
    registration_id="cart/cart-1",
    service="cart",
    instance="cart-1",
    endpoint="http://127.0.0.1:8080",
    latitude=49.5,
    longitude=9.9,
    region="Europe",
    registry="europe",
    healthy=True,
    draining=False,
    registered_at_us=1_000_000,
    updated_at_us=1_000_000,
)


def registration(instance: str = "cart-1", **changes: Any) -> Registration:
    """An instance of cart that is up, in Europe, with these fields changed."""
    service = changes.get("service", CART.service)
    return replace(CART, registration_id=f"{service}/{instance}", instance=instance, **changes)


def registry_itself(name: str, **changes: Any) -> Registration:
    """The registration of a registry."""
    return registration(name, service="registry", registry=name, **changes)
