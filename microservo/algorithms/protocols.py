"""The three tasks, as their authors write them. Objects need only have the methods; nothing is inherited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Detector(Protocol):
    """Scores one window, then learns from it: prequential, so that no window is judged by itself.

    The names and the direction are those of `river.anomaly.base.AnomalyDetector`, whose objects fit as they
    are. One object watches what its declaration says: a service, one feature of it, or the system. It sees no
    label, no clock and, unless it watches the system, no other service.
    """

    def score_one(self, x: Mapping[str, float]) -> float:
        """How anomalous the window is: higher is more anomalous; NaN means not ready. Changes nothing.

        Args:
            x: feature name to value. Complete and finite, always of the same names; with `features = "raw"`
                as the window came: names come and go, and a value may be NaN.
        """

    def learn_one(self, x: Mapping[str, float]) -> None:
        """Learns from the window; called once for each, after `score_one`."""


class PersistentDetector(Detector, Protocol):
    """A detector that says itself what is to be kept of it; others are pickled whole."""

    def snapshot(self) -> Any:
        """What was learned: something that can be pickled. `restore` on a new object goes on from it."""

    def restore(self, snapshot: Any) -> None:
        """Replaces what was learned; raises what it likes where it can't."""


class Ranker(Protocol):
    """Ranks what may have caused an alarm: a function, with RCAEval's signature.

    It may have parameters by these names, and gets what it has: `services` (names), `graph` (pairs of caller
    and callee), `deviations` (service to feature to how many robust sigmas it moved), `peaks` (likewise to
    how many interquartile ranges it rose at most), `logs` and `traces` (tables like `data`, which then does
    not hold them).
    """

    def __call__(
        self, data: Any, inject_time: float, dataset: str | None = None, **kwargs: Any
    ) -> Mapping[str, Any]:
        """What may be the cause.

        Args:
            data: `time` in epoch seconds and a column `<service>_<feature>` for each feature, one row a
                window: a pandas frame where the environment has pandas, else a dict of lists.
            inject_time: when the alarm says that it began, epoch seconds. Never a label's time.
            dataset: "microservo", or what `params` say; RCAEval's functions prepare `data` where it is named.
            **kwargs: what it has parameters for, see above, and its declared `params`.

        Returns:
            `{"ranks": [...]}`: columns or services, the most likely cause first.
        """


class Classifier(Protocol):
    """Tells kinds of failure apart, as scikit-learn's classifiers do.

    A row is a case: how many robust sigmas each quantity moved since the alarm, at the service where it moved
    the furthest. Quantities have no name of a service, endpoint or template in them.
    """

    classes_: Sequence[str]

    def fit(self, table: Any, kinds: Any) -> Any:
        """Learns from cases of earlier runs, shape (cases, features), and their kinds."""

    def predict_proba(self, table: Any) -> Any:
        """Probabilities, shape (cases, kinds), in the order of `classes_`."""
