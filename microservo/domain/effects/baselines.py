"""Which baseline a measure has."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.effects.baseline import Baseline
from microservo.domain.effects.counts import CountBaseline
from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.history import Samples
from microservo.domain.effects.levels import LevelBaseline
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.shares import ShareBaseline
from microservo.domain.faults.base import Measure

_KINDS: Mapping[str, type[Baseline]] = {
    "slow": ShareBaseline,
    "failed": ShareBaseline,
    "count": CountBaseline,
    "level": LevelBaseline,
}


def baseline_of(measure: Measure, samples: Samples, free: FreeTime, policy: EffectPolicy) -> Baseline:
    """The baseline of a measure, from its fault-free records."""
    return _KINDS[measure.statistic](measure, samples, free, policy)
