"""What requests between the processes of a target carry beside their trace context."""

from __future__ import annotations

from collections.abc import Mapping

REQUEST_ID = "x-request-id"
"""By which services decide what befalls a request; the same for the same seed."""

DEADLINE = "x-request-deadline"
"""When the caller stops waiting, in epoch microseconds UTC.

An instant rather than a time that is left, since a request may lie in a buffer for long before anybody reads
it. Clocks of several machines must agree to well below the shortest time limit, as with NTP they do.
"""


CALLER = "user-agent"
"""Which service makes the request, by its name, as the products of a user agent are (RFC 9110, 10.1.5)."""

PLACE = "x-caller-place"
"""Where the request is made, as "LATITUDE,LONGITUDE" in degrees; only in targets that have distances.

`microservo.platforms.local.places` reads and writes it.
"""


PLACES = "sidecar_requests_from_total"
"""The counter by which a sidecar says how many requests named which place."""


def caller_headers(service: str, place: str) -> dict[str, str]:
    """What a caller says of itself; its place only where it has one."""
    return {CALLER: service, PLACE: place} if place else {CALLER: service}


def deadline_of(headers: Mapping[str, str]) -> int | None:
    """When the caller of a request stops waiting; None where it does not say so, or not in a number."""
    text = headers.get(DEADLINE, "")
    return int(text) if text.isascii() and text.isdecimal() else None
