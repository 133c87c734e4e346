"""Makes the values of the reference packages that the metrics of the board are compared with.

They can't share an environment with ours or with one another, so each set is made in one of its own::

    python -m venv tsb && tsb/bin/pip install --no-deps TSB-AD==1.5 tadpak==0.3.3
    tsb/bin/pip install 'numpy>=2' scikit-learn tqdm
    tsb/bin/python tests/support/scoring_reference.py tsb > tests/golden/scoring/tsb.json
    python -m venv prts && prts/bin/pip install 'numpy<2' prts==1.0.0.3
    prts/bin/python tests/support/scoring_reference.py prts > tests/golden/scoring/prts.json

The series come from Python's own generator, which gives the same numbers everywhere.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

BUFFERS = (0, 1, 5, 20, 100)


@dataclass(frozen=True)
class Case:
    """One series: scores, whether each window is anomalous, and whether it is flagged."""

    score: list[float]
    truth: list[int]
    flagged: list[int]
    buffers: tuple[int, ...]


def toy() -> Case:
    """A hundred windows that can be checked by hand."""
    truth = [int(20 <= place < 30 or 60 <= place < 70) for place in range(100)]
    flagged = [int(place in {25, 26, 40, 68, 69, 70, 71}) for place in range(100)]
    score = [said + 1e-3 * place / 99 for place, said in enumerate(flagged)]
    return Case(score, truth, flagged, BUFFERS)


def cases() -> dict[str, Case]:
    """All of them, by name."""
    named = {"toy": toy(), "large": _random_case(77, 20_000, 100, decimals=12, buffers=(100,))}
    for seed in range(24):
        size = 200 + 60 * seed
        named[f"seed {seed}"] = _random_case(seed, size, 2 + seed // 2, decimals=(12, 1, 2)[seed % 3])
    return named


def _random_case(
    seed: int, size: int, stretches: int, *, decimals: int, buffers: tuple[int, ...] = BUFFERS
) -> Case:
    chance = random.Random(seed)
    truth = [0] * size
    for _ in range(stretches):
        start = chance.randrange(size)
        for place in range(start, min(size, start + chance.randint(1, 25))):
            truth[place] = 1
    if seed % 4 == 0:
        truth[:3] = [1, 1, 1]
    truth[-1] = int(seed % 4 == 1)
    strength = chance.uniform(0, 2.5)
    score = [round(chance.gauss(strength * is_anomalous, 1), decimals) for is_anomalous in truth]
    threshold = sorted(score)[int(0.93 * size)]
    return Case(score, truth, [int(value > threshold) for value in score], buffers)


def labels(seed: int) -> tuple[list[str], list[str]]:
    """Actual and predicted classes of some faults."""
    chance = random.Random(seed)
    names = ["cpu", "delay", "loss", "memory", "disk"][: 2 + seed % 4]
    actual = [chance.choice(names) for _ in range(10 + 7 * seed)]
    return actual, [each if chance.random() < 0.6 else chance.choice(names) for each in actual]


def _of_tsb(case: Case) -> dict[str, Any]:
    """By TSB-AD, scikit-learn and tadpak."""
    import numpy as np  # noqa: PLC0415
    from sklearn import metrics  # noqa: PLC0415
    from tadpak.pak import pak  # noqa: PLC0415
    from TSB_AD.evaluation.affiliation.generics import convert_vector_to_events  # noqa: PLC0415
    from TSB_AD.evaluation.affiliation.metrics import pr_from_events  # noqa: PLC0415
    from TSB_AD.evaluation.basic_metrics import basic_metricor, generate_curve  # noqa: PLC0415

    score, truth, flagged = np.array(case.score), np.array(case.truth), np.array(case.flagged)
    grader = basic_metricor()
    values: dict[str, Any] = {
        "auc_pr": grader.metric_PR(truth, score),
        "auc_roc": grader.metric_ROC(truth, score),
    }
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, flagged, average="binary")
    values |= {"point_precision": precision, "point_recall": recall, "point_f1": f1}
    for buffer in case.buffers:
        *_, roc, pr = generate_curve(truth, score, buffer)
        values[f"vus_roc {buffer}"], values[f"vus_pr {buffer}"] = roc, pr
    values["range_f1"] = grader.metric_RF1(truth, score, preds=flagged)
    near = pr_from_events(convert_vector_to_events(flagged), convert_vector_to_events(truth), (0, len(truth)))
    values["affiliation_precision"] = near["Affiliation_Precision"]
    values["affiliation_recall"] = near["Affiliation_Recall"]
    if not truth[0]:
        # TSB-AD does not adjust the first window of the series.
        values["pa_f1"] = grader.metric_PointF1PA(truth, score, preds=flagged)
    for percent in (0, 10, 20):
        adjusted = pak(flagged.astype(float), truth, 0.5, percent)
        values[f"pa_{percent}_f1"] = metrics.f1_score(truth, adjusted)
    if not truth[-1]:
        # TSB-AD cuts the last window of an event that is the end of the series.
        values["composite_f1"] = grader.metric_EventF1PA(truth, score, preds=flagged)
    return {name: float(value) for name, value in values.items()}


def _of_prts(case: Case) -> dict[str, Any]:
    from prts import ts_precision, ts_recall  # noqa: PLC0415

    values = {}
    for bias in ("flat", "front"):
        values[f"range_precision {bias}"] = ts_precision(
            case.truth, case.flagged, alpha=0, cardinality="reciprocal", bias=bias
        )
        for alpha in (0.0, 0.2):
            values[f"range_recall {bias} {alpha}"] = ts_recall(
                case.truth, case.flagged, alpha=alpha, cardinality="reciprocal", bias=bias
            )
    return {name: float(value) for name, value in values.items()}


def _classes() -> dict[str, Any]:
    from sklearn.metrics import f1_score  # noqa: PLC0415

    found = {}
    for seed in range(8):
        actual, predicted = labels(seed)
        found[str(seed)] = {
            f"{kind}_f1": float(f1_score(actual, predicted, average=kind))
            for kind in ("micro", "macro", "weighted")
        }
    return found


def main() -> None:
    """Prints the values of one set."""
    extra: dict[str, Any] = {}
    if sys.argv[1] == "tsb":
        packages = ["TSB-AD", "tadpak", "scikit-learn", "numpy"]
        found = {name: _of_tsb(case) for name, case in cases().items()}
        extra["classes"] = _classes()
    else:
        packages = ["prts", "numpy"]
        # It loops over all windows of all pairs of ranges.
        found = {name: _of_prts(case) for name, case in cases().items() if name != "large"}
    versions = {name: version(name) for name in packages}
    json.dump({"versions": versions, "cases": found, **extra}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
