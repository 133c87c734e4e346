"""What a fenced process may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from microservo.errors import InvalidInput

ADDRESS_SPACE_BEYOND_BYTES = 1 << 30
"""NumPy, OpenBLAS and allocators reserve far more addresses than they ever use."""

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process and all that it starts may use together, unless it says "each".

    Args:
        cpus: processors, as a share over about a second; fractions are allowed.
        memory_bytes: resident memory (shared pages count once).
        disk_bytes: of the state folder, of `/tmp` and of `/dev/shm`, each.
        files: files and folders in these three.
        processes: processes and threads.
        open_files: open files of each process.
        output_bytes: of stderr, at once; as much of the newest is kept in the log.
        output_bytes_per_s: of stderr, for ever.
        cpu_seconds: of each process until its end; None: no bound.

    Raises:
        InvalidInput: one is not above 0.
    """

    cpus: float = 1.0
    memory_bytes: int = 512 * _MIB
    disk_bytes: int = 64 * _MIB
    files: int = 10_000
    processes: int = 64
    open_files: int = 256
    output_bytes: int = 4 * _MIB
    output_bytes_per_s: int = 64 * 1024
    cpu_seconds: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                message = f"the limit {name} is {value}; give a number above 0"
                raise InvalidInput(message)

    @property
    def threads(self) -> int:
        """How many threads a numeric library should start."""
        return math.ceil(self.cpus)
