"""disk-full: a file takes what is left of the disk of the instance, up to its quota and never beyond it."""

from __future__ import annotations

from typing import ClassVar

from microservo.errors import InvalidInput
from services.workload.faults.base import FaultSite, fault
from services.workload.faults.disk import check_volume
from services.workload.faults.parameters import Parameters


@fault
class DiskFull:
    """Parameters: `volume`, `left_bytes` (that stay free)."""

    kind: ClassVar[str] = "disk-full"
    acted = None

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None:
        check_volume(self.kind, parameters)
        self._left_bytes = parameters.integer("left_bytes", low=0, high=2**40)
        self._volume = site.volume
        self._file = f"{fault_id}.tmp"

    async def apply(self) -> str:
        size_bytes = max(0, self._volume.free_bytes - self._left_bytes)
        try:
            self._volume.fill(self._file, size_bytes)
        except OSError as error:
            msg = f"{self.kind}: the disk of this machine refuses {size_bytes} bytes ({error}); free some"
            raise InvalidInput(msg) from error
        return f"{size_bytes} bytes were written, {self._volume.free_bytes} are free"

    async def recover(self) -> str:
        self._volume.remove(self._file)
        return f"{self._volume.free_bytes} bytes are free"
