"""From where containers are asked for: what their sidecars count, told to a registry once a second."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from microservo.client.registry import RegistryClient
from microservo.domain.geography import Coordinates
from microservo.errors import Unavailable
from microservo.platforms.local.request_headers import PLACES
from microservo.platforms.local.state import read_state
from microservo.runtime.probe import counted

LOOK_S = 1.0
_LABELS = ("latitude", "longitude")


class Demand:
    """Reports the requests since the look before.

    Args:
        state_file: of the target.
        registry: that is told.
    """

    def __init__(self, state_file: Path, registry: RegistryClient) -> None:
        self._state_file = state_file
        self._registry = registry
        self._before: dict[str, Counter[tuple[str, ...]]] = {}

    def look(self) -> None:
        """Asks all sidecars once; one that does not answer is asked again at the next look."""
        try:
            instances = read_state(self._state_file).instances
        except Unavailable:
            return
        before, self._before = self._before, {}
        for each in instances:
            known = before.get(each.id, Counter())
            now = counted(each.sidecar_url, PLACES, _LABELS) if each.sidecar_pid is not None else Counter()
            # One that was started anew counts from 0 again, and one that is silent says nothing.
            is_behind = now.total() < known.total()
            self._before[each.id] = known if is_behind and not now else now
            self._tell(each.service, now if is_behind else now - known)

    def _tell(self, service: str, requests: Counter[tuple[str, ...]]) -> None:
        for (latitude, longitude), count in requests.items():
            place = Coordinates(float(latitude), float(longitude))
            self._registry.report(service, place, count)
