from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.sample import RUN_ID, Effect, Sample
from microservo.algorithms.trial import Trial, try_on_sample
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.scoring import METRICS
from microservo.errors import InvalidInput
from microservo.testing import try_algorithm
from schemas.records import FeatureWindow, Truth

S = 1_000_000
SIZE_US = 5 * S
SERVICES = ("ads", "cart", "frontend")
NAMES = ("call/cart/p50_ms", "metric/process.memory.usage/mean")
FAULT = range(50, 54)
"""Numbers of the windows in which cart is odd."""
FAULT_FREE = 40
FOUND = """
class Sure:
    def score_one(self, x):
        return float(x["metric/process.memory.usage/mean"] > 500)
    def learn_one(self, x):
        pass
"""


def window(service: str, number: int) -> FeatureWindow:
    odd = service == "cart" and number in FAULT
    return FeatureWindow(
        run_id=RUN_ID,
        service=service,
        start_us=number * SIZE_US,
        end_us=(number + 1) * SIZE_US,
        revision=0,
        names=NAMES,
        values=(20.0 + number % 3, (900.0 if odd else 100.0) + number % 5),
    )


def truth(service: str, number: int) -> Truth:
    if service != "cart" or number not in (*FAULT, FAULT.stop):
        return "normal"
    return "anomalous" if number in FAULT else "masked"


@pytest.fixture
def sample() -> Sample:
    """Three services, of which one is odd for four windows."""
    numbers = range(1, 80)
    return Sample(
        about={"fault_free_until_us": FAULT_FREE * SIZE_US, "window_us": SIZE_US, "first_cut_us": 2 * S},
        windows=[window(service, number) for number in numbers for service in SERVICES],
        edges=[("frontend", "cart", SIZE_US), ("frontend", "ads", SIZE_US)],
        truth={
            (service, number * SIZE_US): truth(service, number) for service in SERVICES for number in numbers
        },
        effects=[
            Effect(
                fault_id="f-1",
                kind="memory-hog",
                root_service="cart",
                service="cart",
                severity=0.5,
                start_us=FAULT.start * SIZE_US,
                end_us=FAULT.stop * SIZE_US,
                applied_us=FAULT.start * SIZE_US,
            )
        ],
    )


def tried(spec: str, sample: Sample, **changes: object) -> Trial:
    plugin = resolve(spec, changes)
    with unfenced_session(plugin) as session:
        session.open()
        return try_on_sample(session, sample)


def test_who_scores_the_fault_alone_gets_everything(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "sure.py").write_text(FOUND)
    trial = tried(str(tmp_path / "sure.py"), sample, threshold=0.5)
    windows = len(SERVICES) * (80 - FAULT_FREE) - 1
    assert trial.values == {
        "auc_pr": 1.0,
        "lift_over_random": windows / len(FAULT),
        "event_recall_at_1_per_hour": 1.0,
        "event_recall": 1.0,
        "false_alarms_per_hour": 0.0,
        # It alarms when the first odd window is there: two seconds behind its end.
        "delay_from_effect_p50_s": 7.0,
    }
    # The first six windows of a service settle which features there are.
    assert (trial.asked, trial.not_ready) == (len(sample.windows), 6 * len(SERVICES))


def test_windows_of_fault_free_time_are_not_judged(sample: Sample) -> None:
    false = replace(
        sample,
        truth={key: "anomalous" if key[1] < SIZE_US * 30 else value for key, value in sample.truth.items()},
    )
    assert tried("n-sigma", false).values == tried("n-sigma", sample).values


def test_the_same_algorithm_gets_the_same(sample: Sample) -> None:
    first, second = (tried("random", sample) for _ in range(2))
    assert first.values.keys() == second.values.keys()
    assert all(
        first.values[name] == second.values[name] or math.isnan(second.values[name]) for name in first.values
    )


def test_of_the_whole_system_a_fault_anywhere_counts(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "sure.py").write_text(FOUND.replace('x["metric', 'x["cart/metric'))
    trial = tried(str(tmp_path / "sure.py"), sample, per="system", threshold=0.5)
    assert trial.values["auc_pr"] == 1.0
    assert trial.values["event_recall"] == 1.0


def test_a_ranker_is_asked_about_each_fault_that_was_seen(sample: Sample) -> None:
    trial = tried("most-deviating", sample)
    assert (trial.asked, trial.values["ac_1"], trial.values["mrr"]) == (1, 1.0, 1.0)


def test_a_classifier_has_to_be_taught_first(sample: Sample) -> None:
    plugin = resolve("gradient-boosting")
    with unfenced_session(plugin) as session, pytest.raises(InvalidInput, match="taught by labelled cases"):
        try_on_sample(session, sample)


LOOKING = ("n-sigma", "robust-z", "log-surprise", "trace-deviation")
KNOWING_NOTHING = ("random", "always", "never", "constant")


def test_on_the_shipped_sample_who_knows_nothing_is_last_on_every_headline() -> None:
    found = {name: try_algorithm(name).values for name in (*LOOKING, *KNOWING_NOTHING)}
    headlines = [name for name in found["random"] if METRICS[name].is_headline]
    assert headlines == ["auc_pr", "event_recall_at_1_per_hour"]
    for headline in headlines:
        worst = min(found[name][headline] for name in LOOKING)
        assert worst > 1.5 * max(found[name][headline] for name in KNOWING_NOTHING), headline
