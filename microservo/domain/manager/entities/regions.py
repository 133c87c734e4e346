"""Regions as people edit them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from microservo.domain.geography import SEVEN_REGIONS, Coordinates, Region
from microservo.domain.manager.entities.values import Latitude, Longitude, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCentre:
    """A part of the world: the places that are nearer to this centre than to any other."""

    name: Name
    latitude: Latitude
    longitude: Longitude


def regions_of_world(centres: Iterable[RegionCentre]) -> tuple[Region, ...]:
    """The regions by name; seven by default, where there are none."""
    found = tuple(
        Region(centre.name, Coordinates(centre.latitude, centre.longitude))
        for centre in sorted(centres, key=lambda each: each.name)
    )
    return found or SEVEN_REGIONS
