"""Which host a container goes to: the nearest that has room, be it joined, off, or not there yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from microservo.domain.geography import (
    AWS_REGIONS,
    SEVEN_REGIONS,
    AwsRegion,
    Coordinates,
    Region,
    distance_m,
    distances_m,
    nearest_aws_region,
    regions_of,
    unit_vectors,
)
from microservo.domain.placement.capacity import ALL, Bools, Hosts, Int8, Need, Rows, room
from microservo.domain.telemetry import Float64
from microservo.errors import InvalidInput

INACTIVE_FACTOR: Final = 1.25
"""A node may be so many times as far away as an inactive host, which has to be joined first."""
NEW_FACTOR: Final = 1.5
"""Whatever there is may be so many times as far away as a new instance, which has to be launched first."""

ChoiceKind = Literal["node", "edge", "cloud", "new"]

(
    CHOSEN,
    EXCLUDED,
    NOT_READY,
    NOT_MEASURED,
    NO_MEMORY,
    NO_PROCESSOR,
    NO_DISK,
    FARTHER,
    OTHER_REGION,
    INACTIVE,
) = range(10)
PASSED_OVER: Final[tuple[str, ...]] = (
    "chosen",
    "excluded",
    "not ready",
    "not measured",
    "memory",
    "processor",
    "disk",
    "farther",
    "other region",
    "inactive",
)
"""Why a host was not chosen. *farther*: it has room, but another one was nearer by the factors."""
_NEARLY: Final = 1e-12
"""How much smaller the cosine of a host may be for it to be the nearest still.

Cosines are right to 1e-15 or so, which near 0 m is less exact than distances are. Those within this of the
largest are a few, or stand at one place, and only of these distances are computed.
"""
_Found = tuple[int, float]
"""A host's place in the columns, and the metres to it."""
# In the order of what `room` says: FITS, UNKNOWN, MEMORY, PROCESSOR, DISK.
_OF_ROOM: Final = np.array([FARTHER, NOT_MEASURED, NO_MEMORY, NO_PROCESSOR, NO_DISK], np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Where a container goes.

    Attributes:
        kind: a node of the cluster, an inactive edge or cloud host, or a new instance.
        host: its name; of a new instance empty.
        index: its place in the columns of hosts; -1 for a new instance.
        aws_region: code of the region in which to launch a new instance; empty for all others.
        distance_m: metres from where it was wanted.
        must_start: the machine is off.
        must_join: it has to be joined to the cluster before the container starts.
        reasons: places in `PASSED_OVER`, shape (hosts,).
    """

    kind: ChoiceKind
    host: str
    index: int
    aws_region: str
    distance_m: float
    must_start: bool
    must_join: bool
    reasons: Int8

    def reason(self, index: int) -> str:
        """Why the host at a place in the columns was passed over."""
        return PASSED_OVER[int(self.reasons[index])]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHost:
    """Nowhere to put a container, with the reasons for each host as in `Choice`."""

    reasons: Int8

    def counts(self) -> Mapping[str, int]:
        """How many hosts were passed over for which reason."""
        counts = np.bincount(self.reasons, minlength=len(PASSED_OVER))
        return {reason: int(count) for reason, count in zip(PASSED_OVER, counts, strict=True) if count}


def choose_host(
    target: Coordinates,
    hosts: Hosts,
    need: Need,
    *,
    excluded: Collection[str] = (),
    aws_regions: Sequence[AwsRegion] = AWS_REGIONS,
    known: Int8 | None = None,
) -> Choice | NoHost:
    """The host for a container that is wanted near a place.

    With dN, dE, dC the metres to the nearest ready node, inactive edge and inactive cloud host that have
    room, and dA to the nearest enabled region of the cloud, all infinite where there is none:

    1. the node, if dN <= 1.25 dE, dN <= 1.25 dC and dN <= 1.5 dA;
    2. else the nearer of the two inactive ones, of equal ones the edge host, if it is within 1.5 dA;
    3. else a new instance in that region.

    Of hosts at the same distance the first by name.

    usmanager chose an inactive edge host only where there was an inactive cloud host too, neither started nor
    joined it, and let a migration choose the host that it came from.

    Args:
        target: where it is wanted.
        hosts: all there are.
        need: what it takes.
        excluded: names of hosts that it must not go to: the source of a migration, hosts that have failed.
        aws_regions: where instances can be launched; empty where none may be.
        known: what `why_not` says of these hosts and this need, where that is kept.
    """
    reasons = _without(hosts, why_not(hosts, need) if known is None else known, excluded)
    launch = nearest_aws_region(target, aws_regions)
    found = _nearest_of_all(target, hosts, reasons, np.inf if launch is None else launch[1])
    if found is not None:
        return _existing(hosts, found, reasons)
    return NoHost(reasons=reasons) if launch is None else _new(launch[0], launch[1], reasons)


def choose_node(
    target: Coordinates, hosts: Hosts, need: Need, *, excluded: Collection[str] = ()
) -> Choice | NoHost:
    """The nearest ready node with room, where nothing is to be started or joined; see `choose_host`."""
    reasons = _without(hosts, why_not(hosts, need), excluded)
    np.copyto(reasons, INACTIVE, where=(reasons == FARTHER) & ~hosts.is_node)
    found = _nearest(target, hosts, _cosines(target, hosts), reasons == FARTHER)
    return NoHost(reasons=reasons) if found is None else _existing(hosts, found, reasons)


def choose_host_of_region(
    region: Region,
    hosts: Hosts,
    need: Need,
    *,
    regions: Sequence[Region] = SEVEN_REGIONS,
    excluded: Collection[str] = (),
    aws_region: AwsRegion | None = None,
) -> Choice | NoHost:
    """The host for a component of a region: of those that lie in it, the nearest to its centre.

    Ready nodes come before inactive hosts, and those before a new instance, whatever the distance.

    usmanager took a node at random, and an inactive host of any region.

    Args:
        region: one of `regions`.
        hosts: all there are.
        need: what the component takes.
        regions: all regions; a host is in the one whose centre is nearest.
        excluded: names of hosts that it must not go to.
        aws_region: where to launch an instance, see `main_aws_region`; None where none may be.

    Raises:
        InvalidInput: `region` is none of `regions`.
    """
    if region not in regions:
        msg = f"{region.name[:80]!r} is no region; take one of {', '.join(each.name for each in regions)}"
        raise InvalidInput(msg)
    reasons = _without(hosts, why_not(hosts, need), excluded)
    able = np.flatnonzero(reasons == FARTHER)
    theirs = regions_of(hosts.latitude[able], hosts.longitude[able], regions)
    reasons[able[theirs != regions.index(region)]] = OTHER_REGION
    cosines = _cosines(region.centre, hosts)
    for group in (hosts.is_node, ~hosts.is_node):
        found = _nearest(region.centre, hosts, cosines, group & (reasons == FARTHER))
        if found is not None:
            return _existing(hosts, found, reasons)
    if aws_region is None:
        return NoHost(reasons=reasons)
    return _new(aws_region, distance_m(region.centre, aws_region.centre), reasons)


def why_not(hosts: Hosts, need: Need, rows: Rows = ALL) -> Int8:
    """Why hosts can't be taken, whoever asks, as places in `PASSED_OVER`; `farther` where they can.

    Args:
        hosts: all there are.
        need: what the container takes.
        rows: places of those asked for in the columns; all by default.
    """
    reasons = _OF_ROOM[room(hosts, need, rows)]
    np.copyto(reasons, NOT_READY, where=hosts.is_node[rows] & ~hosts.is_ready[rows])
    return reasons


def _without(hosts: Hosts, reasons: Int8, excluded: Collection[str]) -> Int8:
    """A copy of the reasons that excludes some hosts."""
    found = reasons.copy()
    for name in excluded:
        row = hosts.rows.get(name)
        if row is not None:
            found[row] = EXCLUDED
    return found


def _nearest_of_all(target: Coordinates, hosts: Hosts, reasons: Int8, launch_m: float) -> _Found | None:
    """By the rules of `choose_host`; None for a new instance, or where there is no host."""
    cosines, has_room = _cosines(target, hosts), reasons == FARTHER
    inactive = has_room & ~hosts.is_node
    node = _nearest(target, hosts, cosines, has_room & hosts.is_node)
    edge = _nearest(target, hosts, cosines, inactive & hosts.is_edge)
    cloud = _nearest(target, hosts, cosines, inactive & ~hosts.is_edge)
    node_m, edge_m, cloud_m = (np.inf if each is None else each[1] for each in (node, edge, cloud))
    if (
        node_m <= INACTIVE_FACTOR * edge_m
        and node_m <= INACTIVE_FACTOR * cloud_m
        and node_m <= NEW_FACTOR * launch_m
        and node is not None
    ):
        return node
    off, off_m = (edge, edge_m) if edge_m <= cloud_m else (cloud, cloud_m)
    return off if off_m <= NEW_FACTOR * launch_m else None


def _cosines(target: Coordinates, hosts: Hosts) -> Float64:
    """Of the angles between a place and all hosts: the nearer, the larger."""
    x, y, z = unit_vectors(target.latitude, target.longitude)
    return hosts.x * x + hosts.y * y + hosts.z * z


def _nearest(target: Coordinates, hosts: Hosts, cosines: Float64, among: Bools) -> _Found | None:
    """The nearest of some hosts, the first by name of those at the same distance."""
    if not among.any():
        return None
    of_these = np.where(among, cosines, -np.inf)
    rows = np.flatnonzero(of_these >= of_these.max() - _NEARLY)
    distances = distances_m(target.latitude, target.longitude, hosts.latitude[rows], hosts.longitude[rows])
    nearest_m = distances.min()
    nearest = rows[distances == nearest_m].tolist()
    return min(nearest, key=lambda row: hosts.names[row]), float(nearest_m)


def _existing(hosts: Hosts, found: _Found, reasons: Int8) -> Choice:
    index, distance = found
    reasons[index] = CHOSEN
    is_node = bool(hosts.is_node[index])
    kind: ChoiceKind = "node" if is_node else "edge" if hosts.is_edge[index] else "cloud"
    return Choice(
        kind=kind,
        host=hosts.names[index],
        index=index,
        aws_region="",
        distance_m=distance,
        must_start=not is_node and not hosts.is_running[index],
        must_join=not is_node,
        reasons=reasons,
    )


def _new(region: AwsRegion, distance: float, reasons: Int8) -> Choice:
    return Choice(
        kind="new",
        host="",
        index=-1,
        aws_region=region.code,
        distance_m=distance,
        must_start=True,
        must_join=True,
        reasons=reasons,
    )
