"""Precision and recall of failure classes, as F1: micro, macro and weighted; and the confusion matrix.

A fault has one case: the first that was classified. One without a case, and a classifier that failed, are
wrong.

- `micro_f1`: over all faults; who always says the most frequent class gets its share of them.
- `macro_f1`: mean over classes of the F1 of each; by chance about 1 / classes.
- `weighted_f1`: the same mean, a class weighing as many faults as it has.
- Range 0 to 1, higher is better. NaN without faults.
- Source: scikit-learn, `f1_score`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.scoring.cases import Classified, Fault
from microservo.domain.scoring.ratios import or_zero, ratio, row_sums
from microservo.domain.scoring.series import Float64, Int64


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Counts of faults, shape (classes, classes + 1): actual by predicted, the last column for no answer."""

    classes: tuple[str, ...]
    counts: Int64


def confusion_matrix(faults: Sequence[Fault], cases: Iterable[Classified]) -> ConfusionMatrix:
    """Counts what each fault was taken for; classes are all that occur, in ascending order."""
    classes, actual, predicted = _coded(faults, cases)
    counts = np.zeros((len(classes), len(classes) + 1), np.int64)
    np.add.at(counts, (actual, predicted), 1)
    return ConfusionMatrix(classes, counts)


def classification_metrics(faults: Sequence[Fault], cases: Iterable[Classified]) -> Mapping[str, float]:
    """The three kinds of F1."""
    found = classification_replicates(faults, cases, np.ones((1, len(faults))))
    return {name: float(column[0]) for name, column in found.items()}


def classification_replicates(
    faults: Sequence[Fault], cases: Iterable[Classified], weights: Float64
) -> Mapping[str, Float64]:
    """The same where each fault counts as often as its weight says.

    Args:
        faults: all that should have been classified.
        cases: what was said.
        weights: shape (repetitions, faults), whole numbers.
    """
    classes, actual, predicted = _coded(faults, cases)
    is_actual = actual[:, None] == np.arange(len(classes))
    is_predicted = predicted[:, None] == np.arange(len(classes))
    hits, support, said = (
        np.einsum("rf,fc->rc", weights, rows.astype(np.float64))
        for rows in (is_actual & is_predicted, is_actual, is_predicted)
    )
    f1 = or_zero(ratio(2 * hits, support + said))
    occurs = (support + said) > 0
    total = support.sum(axis=1)
    return {
        "micro_f1": np.where(total > 0, ratio(2 * hits.sum(axis=1), total + said.sum(axis=1)), np.nan),
        "macro_f1": ratio(row_sums(f1 * occurs), np.where(total > 0, occurs.sum(axis=1), 0)),
        "weighted_f1": ratio(row_sums(f1 * support), total),
    }


def _coded(faults: Sequence[Fault], cases: Iterable[Classified]) -> tuple[tuple[str, ...], Int64, Int64]:
    """The classes, and the places of the actual and predicted one of each fault; no answer is behind them."""
    first: dict[str, str] = {}
    for each in sorted(cases, key=lambda each: (each.at_us, each.case_id)):
        if each.fault_id is not None:
            first.setdefault(each.fault_id, each.predicted)
    said = [first.get(fault.fault_id, "") for fault in faults]
    classes = tuple(sorted({*(fault.kind for fault in faults), *filter(None, said)}))
    place = {name: index for index, name in enumerate(classes)}
    actual = np.array([place[fault.kind] for fault in faults], np.int64)
    return classes, actual, np.array([place.get(name, len(classes)) for name in said], np.int64)
