"""Hosts of cloud and edge, and the nodes of the cluster that they are joined as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from microservo.domain.manager.entities.values import Amount, Latitude, Longitude, Name, Text

Place = Literal["cloud", "edge"]
HostState = Literal["off", "starting", "running", "down"]
Availability = Literal["active", "pause", "drain"]
Role = Literal["manager", "worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine. Two are the same only if their names are, wherever they are reached.

    Attributes:
        memory_bytes: all that it has; likewise `cores` and `disk_bytes`.
        worker: who manages it; empty for the master.
        is_managers: the manager runs there, so it is never drained or released.
        is_ours: started by the manager, so that the manager may stop it.
        instance_type: of a cloud host, likewise `instance_id`, `image` and `cloud_region`.
        username: of an edge host, for logging in.
        shares: what holds its containers to its processors and memory, as its driver says: "cgroup v2",
            "cgroup v1", or "accounted" where nothing does.
    """

    name: Name
    place: Place
    latitude: Latitude
    longitude: Longitude
    region: Text = ""
    state: HostState = "off"
    memory_bytes: Amount = 0.0
    cores: Amount = 0.0
    disk_bytes: Amount = 0.0
    worker: Text = ""
    is_managers: bool = False
    is_ours: bool = False
    public_address: Text = ""
    private_address: Text = ""
    instance_id: Text = ""
    instance_type: Text = ""
    image: Text = ""
    cloud_region: Text = ""
    username: Text = ""
    shares: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host's membership of the cluster.

    Attributes:
        availability: an active node takes containers, a paused one keeps what it has, a drained one loses it.
        is_ready: it answers.
        is_released_when_empty: it is being drained in order to be released.
    """

    host: Name
    availability: Availability = "active"
    role: Role = "worker"
    is_ready: bool = True
    is_released_when_empty: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
