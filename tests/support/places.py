"""Databases of places for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from microservo.domain.geography import Coordinates

BERLIN, TOKYO = Coordinates(52.52, 13.41), Coordinates(35.68, 139.69)
# Documentation's own networks (RFC 5737, RFC 3849), so nobody's.
IN_BERLIN, IN_TOKYO, NOWHERE = "192.0.2.7", "198.51.100.9", "203.0.113.1"
IN_TOKYO_BY_IPV6 = "2001:db8::9"


def write_database(
    path: Path,
    places: Mapping[str, Coordinates] | None = None,
    *,
    kind: str = "Test-City",
    ip_version: int = 6,
) -> Path:
    """Writes a database in MaxMind's format; by default of two cities."""
    writer = MMDBWriter(ip_version, kind, ipv4_compatible=ip_version == 6)
    networks = places or {"192.0.2.0/24": BERLIN, "198.51.100.0/24": TOKYO, "2001:db8::/32": TOKYO}
    for network, place in networks.items():
        if ip_version == 6 or ":" not in network:
            location = {"latitude": place.latitude, "longitude": place.longitude}
            writer.insert_network(IPSet([network]), {"location": location})
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "XX"}})
    draft = path.with_suffix(".draft")
    writer.to_db_file(str(draft))
    draft.replace(path)
    return path
