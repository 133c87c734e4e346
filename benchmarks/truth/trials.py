"""Where virtual faults lie on a recording: as many as are wanted of each contract, as far apart as can be.

The trials of one contract follow one another over the recording, so that no two of them look at the same
telemetry. When it is full they begin again at its start, then on other services::

    contract A   |──2──|───────30───────|─5─|────10────|  ...  |─5─|──2──|     round 1
                 |────10────|──2──|───────30───────|  ...                      round 2
    contract B   |─5─|──2──|────10────|  ...
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.truth.recording import Described
from benchmarks.truth.strengths import Declared, Strength
from microservo.domain.graph import OUTSIDE

LENGTHS_S = (2, 5, 10, 30)
S = 1_000_000
WARM_UP_US = 90 * S
SETTLE_US = 60 * S
"""From the end of a virtual fault until all is known of it."""
_LEAST_GAP_US = S // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One virtual fault.

    Attributes:
        contract: names of all kinds at their strengths that it stands for, `kind` and `strength` among them.
        number: within the contract.
    """

    contract: str
    number: int
    kind: str
    strength: Strength
    length_s: int
    service: str
    applied_us: int

    @property
    def end_us(self) -> int:
        """When it is recovered, microseconds UTC."""
        return self.applied_us + self.length_s * S

    @property
    def fault_id(self) -> str:
        """Unique within a recording."""
        return f"placebo-{self.kind}-{self.strength}-{self.number}"


def trials_of(described: Described, declared: Declared, count: int, seed: int) -> list[Trial]:
    """At least `count` trials of a contract, as many of each length; the same for the same arguments."""
    rng = random.Random(f"{seed}/placebo/{described.run_id}/{declared.name}")
    services = sorted({service for edge in described.edges for service in edge} - OUTSIDE)
    lengths_s = [length_s for length_s in LENGTHS_S for _ in range(-(-count // len(LENGTHS_S)))]
    rng.shuffle(lengths_s)
    trials: list[Trial] = []
    for number, (length_s, applied_us) in enumerate(_places(described, lengths_s, rng)):
        met = {
            each.service
            for each in trials
            if each.applied_us < applied_us + length_s * S and each.end_us > applied_us
        }
        trials.append(
            Trial(
                contract=declared.name,
                number=number,
                kind=declared.kind,
                strength=declared.strength,
                length_s=length_s,
                service=rng.choice([each for each in services if each not in met] or services),
                applied_us=applied_us,
            )
        )
    return trials


def disjoint(stretches: Iterable[tuple[int, int]]) -> int:
    """The most stretches of time of which no two overlap.

    Example:
        >>> disjoint([(0, 10), (8, 12), (10, 30), (40, 50)])
        3
    """
    count, last_us = 0, -1
    for begin_us, end_us in sorted(stretches, key=lambda each: each[1]):
        if begin_us >= last_us:
            count, last_us = count + 1, end_us
    return count


def _places(described: Described, lengths_s: Sequence[int], rng: random.Random) -> Iterator[tuple[int, int]]:
    """Each length with an instant, one behind the other; from the start again where the recording ends."""
    begin_us, end_us = described.begin_us + WARM_UP_US, described.end_us - SETTLE_US
    spare_us = (end_us - begin_us - sum(lengths_s) * S) // len(lengths_s)
    gap_us = max(spare_us, _LEAST_GAP_US)
    at_us = begin_us
    for length_s in lengths_s:
        at_us += rng.randrange(gap_us)
        if at_us + length_s * S > end_us:
            at_us = begin_us + rng.randrange(gap_us)
        yield length_s, at_us
        at_us += length_s * S
