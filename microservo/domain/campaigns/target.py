"""What a campaign is planned for: a topology, or services of a cluster of which no more is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from microservo.domain.campaigns.choice import requests_per_journey
from microservo.domain.graph import OUTSIDE, Edge
from microservo.domain.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignTarget:
    """What a campaign is planned for.

    Attributes:
        name: of its topology, or `CLUSTER`.
        services: of it.
        edges: (caller, callee), users included; empty where nothing is known of them.
        callers: of each service; None where they are not known.
        per_journey: requests that a journey of a user makes of each service; empty where nobody knows.
    """

    name: str
    services: tuple[str, ...]
    edges: tuple[Edge, ...] = ()
    callers: Mapping[str, Collection[str]] | None = None
    per_journey: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, topology: Topology) -> CampaignTarget:
        """The target of a topology."""
        users = ((users, topology.entry) for users in sorted(OUTSIDE))
        return cls(
            name=topology.name,
            services=tuple(topology.services),
            edges=(*users, *topology.edges()),
            callers=topology.callers(),
            per_journey=requests_per_journey(topology),
        )
