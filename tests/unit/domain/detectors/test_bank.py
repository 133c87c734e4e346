import json
import math

import pytest

from microservo.domain.detectors import DetectorBank, NSigma, Watched, make_detector
from microservo.errors import InvalidInput
from schemas.records import FeatureWindow

SIZE_US = 5_000_000


def window(cpu: float, *, index: int = 0, service: str = "cart", run_id: str = "run-1") -> FeatureWindow:
    return FeatureWindow(
        run_id=run_id,
        service=service,
        start_us=index * SIZE_US,
        end_us=(index + 1) * SIZE_US,
        revision=0,
        names=("cpu",),
        values=(cpu,),
    )


def bank() -> DetectorBank:
    return DetectorBank(lambda _service: NSigma())


def test_a_service_is_judged_by_its_own_past_alone() -> None:
    detectors = bank()
    for index in range(20):
        detectors.score(window(index % 2, index=index))
        detectors.score(window(100 + index % 2, index=index, service="payment"))
    assert detectors.score(window(100, service="payment")) < 2 < detectors.score(window(100))


def test_another_run_starts_without_a_past() -> None:
    detectors = bank()
    for index in range(20):
        detectors.score(window(index % 2, index=index))
    assert math.isnan(detectors.score(window(1, run_id="run-2")))


def test_learning_alone_leaves_the_same_memory_as_scoring_and_learning() -> None:
    scored, learned = bank(), bank()
    for index in range(20):
        scored.score(window(index % 3, index=index))
        learned.learn(window(index % 3, index=index))
    assert scored.snapshot() == learned.snapshot()


def test_a_bank_put_away_as_json_goes_on_where_it_stopped() -> None:
    first = bank()
    for index in range(20):
        first.score(window(index % 3, index=index))
    second = bank()
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert second.watched() == [Watched("run-1", "cart")]
    assert second.score(window(9)) == first.score(window(9))


def test_a_forgotten_service_has_no_past() -> None:
    detectors = bank()
    for index in range(20):
        detectors.score(window(index % 3, index=index))
    detectors.forget(Watched("run-1", "cart"))
    assert detectors.watched() == []
    assert math.isnan(detectors.score(window(1)))


def test_a_foreign_snapshot_is_refused_and_nothing_is_lost() -> None:
    detectors = bank()
    detectors.learn(window(1))
    with pytest.raises(InvalidInput, match="not a snapshot"):
        detectors.restore({"detectors": [{"run_id": "run-1", "service": "cart", "memory": {}}]})
    assert detectors.watched() == [Watched("run-1", "cart")]


def test_the_control_differs_between_services_and_seeds() -> None:
    x = {"cpu": 1.0}
    scores = {make_detector("random", seed=s, service=n).score_one(x) for s in (1, 2) for n in ("cart", "ad")}
    assert len(scores) == 4
