"""The regions of Amazon Web Services in which instances can be started, and which one is near a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microservo.domain.geography.coordinates import Coordinates
from microservo.domain.geography.regions import distances_from
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsRegion:
    """A region of the cloud.

    Attributes:
        code: as in its API, for example eu-central-1.
        name: the city or state that it is named after.
        centre: where that is.
        is_enabled: whether instances may be started there; the others need an account of their own, or have
            to be asked for first.
        main_of: name of the one of the seven regions that it is the main one of; empty for most.
    """

    code: str
    name: str
    centre: Coordinates
    is_enabled: bool = True
    main_of: str = ""


def _region(
    code: str, name: str, latitude: float, longitude: float, main_of: str = "", *, is_enabled: bool = True
) -> AwsRegion:
    centre = Coordinates(latitude, longitude)
    return AwsRegion(code=code, name=name, centre=centre, is_enabled=is_enabled, main_of=main_of)


AWS_REGIONS: tuple[AwsRegion, ...] = (
    _region("af-south-1", "Cape Town", -33.9249, 18.4241, "Africa"),
    _region("ap-east-1", "Hong Kong", 22.3193, 114.1694, is_enabled=False),
    _region("ap-northeast-1", "Tokyo", 35.6762, 139.6503),
    _region("ap-northeast-2", "Seoul", 37.5665, 126.9780),
    _region("ap-northeast-3", "Osaka", 34.6937, 135.5023, is_enabled=False),
    _region("ap-south-1", "Mumbai", 19.0760, 72.8777, "Asia"),
    _region("ap-southeast-1", "Singapore", 1.3521, 103.8198),
    _region("ap-southeast-2", "Sydney", -33.8688, 151.2093, "Oceania"),
    _region("ca-central-1", "Montreal", 45.5017, -73.5673),
    _region("eu-central-1", "Frankfurt", 50.1109, 8.6821, "Europe"),
    _region("eu-north-1", "Stockholm", 59.3293, 18.0686, is_enabled=False),
    _region("eu-south-1", "Milan", 45.4642, 9.1900, is_enabled=False),
    _region("eu-west-1", "Ireland", 53.3498, -6.2603),
    _region("eu-west-2", "London", 51.5072, -0.1276),
    _region("eu-west-3", "Paris", 48.8566, 2.3522),
    _region("me-south-1", "Bahrain", 26.0667, 50.5577, "Middle East"),
    _region("sa-east-1", "Sao Paulo", -23.5558, -46.6396, "South America"),
    _region("us-east-1", "Northern Virginia", 39.0438, -77.4874, "North America"),
    _region("us-east-2", "Ohio", 39.9612, -82.9988),
    _region("us-gov-east-1", "GovCloud East", 39.9612, -82.9988, is_enabled=False),
    _region("us-gov-west-1", "GovCloud West", 45.5152, -122.6784, is_enabled=False),
    _region("us-west-1", "Northern California", 37.7749, -122.4194),
    _region("us-west-2", "Oregon", 45.5152, -122.6784),
)
"""In the order of their codes, and a tuple: nobody can sort it under somebody else's feet."""


def nearest_aws_region(
    coordinates: Coordinates, regions: Sequence[AwsRegion] = AWS_REGIONS
) -> tuple[AwsRegion, float] | None:
    """The nearest enabled region and the metres to it, None where none is enabled; ties go by code.

    Example:
        >>> nearest_aws_region(Coordinates(38.7223, -9.1393))[0].name
        'Paris'
    """
    enabled = sorted((region for region in regions if region.is_enabled), key=lambda region: region.code)
    if not enabled:
        return None
    centres = [region.centre for region in enabled]
    distances = distances_from([coordinates.latitude], [coordinates.longitude], centres)[0]
    nearest = int(distances.argmin())
    return enabled[nearest], float(distances[nearest])


def main_aws_region(name: str, regions: Sequence[AwsRegion] = AWS_REGIONS) -> AwsRegion:
    """The region of the cloud in which instances of one of the seven regions are started.

    Raises:
        InvalidInput: it has none that is enabled.

    Example:
        >>> main_aws_region("Africa").code
        'af-south-1'
    """
    found = next((region for region in regions if region.main_of == name and region.is_enabled), None)
    if found is None:
        known = ", ".join(sorted(region.main_of for region in regions if region.main_of))
        msg = f"no enabled region of the cloud is the main one of {name[:80]!r}; those that have one: {known}"
        raise InvalidInput(msg)
    return found
