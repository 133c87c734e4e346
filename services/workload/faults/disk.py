"""What faults of the disk share: which files they concern."""

from __future__ import annotations

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite
from services.workload.faults.parameters import Parameters
from services.workload.faults.shares import Share
from services.workload.volume import MOUNT


class Transfers:
    """A share of the transfers to and from the disk, by the parameters `volume`, `path` and `ratio`."""

    def __init__(self, kind: str, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        check_volume(kind, parameters)
        self._path = parameters.text("path")
        file = f"{MOUNT}/{site.database.file}"
        if self._path not in ("", file):
            msg = f'{kind}: path is {self._path!r}; the only file is {file!r}, or "" for all'
            raise InvalidInput(msg)
        self._share = Share(fault_id, site, ratio=parameters.number("ratio", low=0.0, high=1.0))

    @property
    def count(self) -> int:
        """How many so far."""
        return self._share.count

    def has(self, path: str) -> bool:
        """Whether the next one, of this file, is of them."""
        return self._path in ("", path) and self._share.has("")

    def __str__(self) -> str:
        return f"{self._share.ratio:g} of the transfers of {self._path or MOUNT}"


def check_volume(kind: str, parameters: Parameters) -> None:
    """Takes the parameter `volume`; there is but one (`InvalidInput`)."""
    volume = parameters.text("volume")
    if volume != MOUNT:
        msg = f"{kind}: volume is {volume!r}; the one of an instance is {MOUNT!r}"
        raise InvalidInput(msg)
