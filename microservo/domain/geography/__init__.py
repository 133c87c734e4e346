"""Places: distance, regions, and where the demand for a service comes from. Pure, in columns."""

from microservo.domain.geography.aws import AWS_REGIONS, AwsRegion, main_aws_region, nearest_aws_region
from microservo.domain.geography.coordinates import (
    EARTH_RADIUS_M,
    Coordinates,
    distance_m,
    distances_m,
    unit_vectors,
)
from microservo.domain.geography.demand import DemandCentre, DemandWindow, RequestCounts, demand_centre
from microservo.domain.geography.regions import SEVEN_REGIONS, Region, region_of, regions_of
from microservo.domain.geography.travel import FIBRE_M_PER_S, travel_time_s

__all__ = [
    "AWS_REGIONS",
    "EARTH_RADIUS_M",
    "FIBRE_M_PER_S",
    "SEVEN_REGIONS",
    "AwsRegion",
    "Coordinates",
    "DemandCentre",
    "DemandWindow",
    "Region",
    "RequestCounts",
    "demand_centre",
    "distance_m",
    "distances_m",
    "main_aws_region",
    "nearest_aws_region",
    "region_of",
    "regions_of",
    "travel_time_s",
    "unit_vectors",
]
