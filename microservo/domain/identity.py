"""Who sends telemetry: what the resource of its records says of a service, its instance and its place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["service", "host", "load_generator"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def kind_of(said: Collection[str]) -> Kind:
    """What a service is of which senders say this; a service where they disagree, or say nothing known.

    Example:
        >>> kind_of({"host"}), kind_of({"load_generator", "service"}), kind_of(())
        ('host', 'service', 'service')
    """
    return next((kind for kind in KINDS if kind in said), "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of an instance beside the two names under which its records go; empty where unknown.

    Attributes:
        kind: what it is.
        is_target: whether it belongs to the target system of this run.
        name: `service.name` as it was sent.
        pod: namespace and name of its pod, with / between.
    """

    kind: Kind = "service"
    is_target: bool = False
    name: str = ""
    namespace: str = ""
    version: str = ""
    environment: str = ""
    host: str = ""
    pod: str = ""
    container: str = ""
    pid: str = ""
    executable: str = ""
    language: str = ""
    region: str = ""


UNIDENTIFIED = Identity()
"""Of records that say nothing but service and instance."""
