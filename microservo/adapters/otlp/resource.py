"""Whom a group of records belongs to."""

from __future__ import annotations

from typing import Protocol

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from microservo.adapters.otlp.checks import MAX_NAME_CHARS
from microservo.adapters.otlp.values import text_of

UNKNOWN_SERVICE = "unknown_service"
"""The name that OpenTelemetry's resource conventions give to a service without one."""


class HasResource(Protocol):
    """ResourceSpans, ResourceLogs and ResourceMetrics have this in common."""

    @property
    def resource(self) -> Resource: ...


def origin_of(group: HasResource) -> tuple[str, str]:
    """Service and instance of a group; `unknown_service` and the empty string where they are missing."""
    found: dict[str, AnyValue] = {
        attribute.key: attribute.value
        for attribute in group.resource.attributes
        if attribute.key in {"service.name", "service.instance.id"}
    }
    service = text_of(found["service.name"]) if "service.name" in found else ""
    instance = text_of(found["service.instance.id"]) if "service.instance.id" in found else ""
    return service or UNKNOWN_SERVICE, instance


def fault_of(service: str, instance: str) -> str | None:
    """Why nothing of this origin can be used; None when it can."""
    if len(service) > MAX_NAME_CHARS:
        return f"service.name is longer than {MAX_NAME_CHARS} characters"
    if len(instance) > MAX_NAME_CHARS:
        return f"service.instance.id is longer than {MAX_NAME_CHARS} characters"
    return None
