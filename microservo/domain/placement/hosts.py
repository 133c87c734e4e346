"""Which host a container goes to: the nearest that has room, be it joined, off, or not there yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from microservo.domain.geography import (
    AWS_REGIONS,
    SEVEN_REGIONS,
    AwsRegion,
    Coordinates,
    Region,
)
from microservo.domain.placement.capacity import Hosts, Need

INACTIVE_FACTOR: Final = 1.25
"""A node may be so many times as far away as an inactive host, which has to be joined first."""
NEW_FACTOR: Final = 1.5
"""Whatever there is may be so many times as far away as a new instance, which has to be launched first."""

ChoiceKind = Literal["node", "edge", "cloud", "new"]

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
)
"""Why a host was not chosen. *farther*: it has room, but another one was nearer by the factors."""


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
    reasons: NDArray[np.int8]

    def reason(self, index: int) -> str:
        """Why the host at a place in the columns was passed over."""
        return PASSED_OVER[int(self.reasons[index])]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHost:
    """Nowhere to put a container, with the reasons for each host as in `Choice`."""

    reasons: NDArray[np.int8]

    def counts(self) -> Mapping[str, int]:
        """How many hosts were passed over for which reason."""
        raise NotImplementedError


def choose_host(
    target: Coordinates,
    hosts: Hosts,
    need: Need,
    *,
    excluded: Collection[str] = (),
    aws_regions: Sequence[AwsRegion] = AWS_REGIONS,
) -> Choice | NoHost:
    """The host for a container that is wanted near a place.

    With dN, dE, dC the metres to the nearest ready node, inactive edge and inactive cloud host that have room,
    and dA to the nearest enabled region of the cloud, all infinite where there is none:

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
    """
    raise NotImplementedError


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
    """
    raise NotImplementedError
