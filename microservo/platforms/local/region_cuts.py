"""Regions that are cut off from the rest, and the sidecars that see to it."""

from __future__ import annotations

import threading
from urllib.parse import quote

from microservo.domain.geography import Coordinates, region_of
from microservo.platforms.local.mechanisms.control_api import ControlClient


class RegionCuts:
    """The cuts in force; several threads may ask.

    Args:
        token: that sidecars ask for.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._regions: dict[str, str] = {}

    def begin(self, fault_id: str, place: Coordinates) -> str:
        """Has sidecars be told from now on that the region of a place is cut off; which one it is."""
        with self._lock:
            region = self._regions[fault_id] = region_of(place).name
        return region

    def end(self, fault_id: str) -> None:
        """Has it be told no more."""
        with self._lock:
            self._regions.pop(fault_id, None)

    def tell(self, sidecar_url: str, place: Coordinates) -> None:
        """Tells the sidecar of a container at a place of all cuts in force.

        Raises:
            Retryable: it does not answer.
        """
        inside = region_of(place).name
        with self._lock:
            regions = dict(self._regions)
        for fault_id, region in regions.items():
            body = {"kind": "region-cut", "parameters": {"region": region, "inside": int(region == inside)}}
            self._client(sidecar_url).call("PUT", _path(fault_id), body=body)
            with self._lock:
                is_over = fault_id not in self._regions
            if is_over:
                self.take_back(sidecar_url, fault_id)

    def take_back(self, sidecar_url: str, fault_id: str) -> None:
        """Tells a sidecar that a cut is over. Raises as `tell`."""
        self._client(sidecar_url).call("DELETE", _path(fault_id))

    def _client(self, sidecar_url: str) -> ControlClient:
        return ControlClient(sidecar_url, self._token)


def _path(fault_id: str) -> str:
    return f"/faults/{quote(fault_id, safe='')}"
