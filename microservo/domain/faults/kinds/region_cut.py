"""region-cut: nothing passes between the region of the instance and all others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register
from microservo.domain.faults.symptoms import cut_off

_SHARE = 0.3
"""Of the requests, those that need the other side; how many that are is not known beforehand."""


@register
@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCut(Fault):
    """No packet passes between the region of the instance's host and the rest, users included.

    Within the region, and among all others, everything goes on.
    """

    kind: ClassVar[str] = "region-cut"
    mechanisms: ClassVar[tuple[str, ...]] = ("hosts",)
    acts_on_host: ClassVar[bool] = True

    @property
    def severity(self) -> float:
        return 1.0

    def contract(self) -> Contract:
        found = cut_off(_SHARE)
        return replace(found, neighbours=found.root)
