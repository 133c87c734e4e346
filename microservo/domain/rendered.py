"""What came for a window, as counts and features, and how late records of some signals change it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from microservo.domain.features import Features, signal_of_feature
from microservo.domain.telemetry import Signal


class Rendered(NamedTuple):
    """What came for a window; what did not come is added later (`microservo.domain.silence`).

    Attributes:
        distinct: how many different rows, by signal.
        as_it_came: likewise, without points that only repeat an old value.
        features: of the rows, sorted by name.
    """

    distinct: dict[Signal, int]
    as_it_came: dict[Signal, int]
    features: Features

    def updated(self, newer: Rendered, signals: Collection[Signal]) -> Rendered:
        """The same with what is of some signals taken from `newer`.

        Each feature is of one signal, so those of the others need not be made again.
        """
        if not signals:
            return self
        kept = {
            name: value for name, value in self.features.items() if signal_of_feature(name) not in signals
        }
        found = kept | newer.features
        return Rendered(
            distinct=self.distinct | {signal: newer.distinct[signal] for signal in signals},
            as_it_came=self.as_it_came | {signal: newer.as_it_came[signal] for signal in signals},
            features={name: found[name] for name in sorted(found)},
        )


NOTHING_CAME = Rendered({"metrics": 0, "logs": 0, "traces": 0}, {"metrics": 0, "logs": 0, "traces": 0}, {})
"""Of a window that has no rows yet."""
