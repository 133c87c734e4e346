"""cascade: one failure and another that follows from it: huge answers, and callers without processor time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault, Need, Parameter
from microservo.domain.faults.registry import register
from microservo.domain.faults.shared_parameters import SHARE_OF_REQUESTS
from microservo.domain.faults.symptoms import RARE_PER_S, level, slow, towards_users
from microservo.domain.faults.units import SIZE

_READ_MS_PER_MIB = 20.0
"""What a caller needs to read so much; measured 27 to 53 ms (`json.loads` of CPython 3.11)."""
_FULL_SEVERITY_BYTES = 4 * 2**20


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade(Fault):
    """Answers of the instance carry far more than anybody asked for, and callers read all of it.

    That is the first failure, and hardly shows where it is: the instance answers at once and in good order.
    The second one follows from it at the services that call it, which have no processor time left.
    """

    kind: ClassVar[str] = "cascade"
    mechanisms: ClassVar[tuple[str, ...]] = ("workload",)
    needs: ClassVar[Need] = "callers"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="size",
            field="bytes",
            unit=SIZE,
            doc="of what an answer carries in addition",
            default="1MiB",
            low=2**10,
            high=16 * 2**20,
        ),
        replace(SHARE_OF_REQUESTS, default="100%"),
    )

    bytes: int
    ratio: float

    @property
    def severity(self) -> float:
        return min(1.0, self.ratio * self.bytes / _FULL_SEVERITY_BYTES)

    def contract(self) -> Contract:
        sent = level("network.io.transmit_bytes", RARE_PER_S * self.ratio * self.bytes)
        return towards_users(slow(_READ_MS_PER_MIB * self.bytes / 2**20, self.ratio), root=(sent,))
