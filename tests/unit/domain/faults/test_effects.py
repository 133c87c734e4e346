from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.faults.base import Expectation
from microservo.domain.faults.kinds.http_abort import HttpAbort
from microservo.domain.faults.kinds.network_delay import NetworkDelay
from microservo.domain.faults.kinds.process_kill import ProcessKill
from microservo.domain.faults.kinds.process_pause import ProcessPause
from microservo.domain.window_effects import GIVE_UP_US, EffectObserver, Judgement
from schemas.records import FeatureWindow

SIZE_US = 5_000_000
APPLIED_US = 10 * SIZE_US + 1_000_000
RECOVERED_US = 13 * SIZE_US + 1_000_000
DELAY = NetworkDelay(latency_us=300_000, jitter_us=0).expectations()
CALM = {"call/cart/p50_ms": 4.0, "call/cart/error_share": 0.0}
SLOW = {"call/cart/p50_ms": 310.0, "call/cart/error_share": 0.0}


class Scene:
    """An observer, and windows of two services: the target cart, and front that calls it."""

    def __init__(self, expectations: tuple[Expectation, ...] = DELAY) -> None:
        self.observer = EffectObserver()
        self.expectations = expectations
        self.judgements: list[Judgement] = []
        self.next = 0

    def windows(
        self,
        count: int,
        front: Mapping[str, float] | None = None,
        cart: Mapping[str, float] | None = None,
        *,
        revision: int = 0,
    ) -> None:
        for index in range(self.next, self.next + count):
            for service, features in (("front", front or CALM), ("cart", cart or {"metric/x/mean": 1.0})):
                self.observer.observe(window(index, service, features, revision=revision))
                self.judgements += self.observer.judge(index * SIZE_US)
        self.next += count

    def watch(self) -> None:
        self.observer.watch("f-1", target="cart", expectations=self.expectations, applied_at_us=APPLIED_US)

    def recovered(self, at_us: int = RECOVERED_US) -> None:
        self.observer.recovered("f-1", at_us)

    @property
    def last(self) -> Judgement:
        return self.judgements[-1]


def window(index: int, service: str, features: Mapping[str, float], *, revision: int = 0) -> FeatureWindow:
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=index * SIZE_US,
        end_us=(index + 1) * SIZE_US,
        revision=revision,
        names=tuple(features),
        values=tuple(features.values()),
    )


def test_a_slow_callee_is_confirmed_by_its_caller_and_normal_when_fast_again() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(1)
    scene.windows(2, front=SLOW)
    assert scene.last.verdict == "confirmed"
    assert scene.last.effect_seen_at_us == 11 * SIZE_US
    assert not scene.last.is_final
    assert "front: call/cart/p50_ms went from 4 to 310" in scene.last.evidence
    scene.recovered()
    scene.windows(2, front=SLOW)
    assert scene.last.normal_at_us is None
    scene.windows(1)
    assert scene.last.is_final
    assert scene.last.normal_at_us == 15 * SIZE_US


def test_an_effect_in_the_first_window_is_seen_no_earlier_than_applied() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(1, front=SLOW)
    assert scene.last.effect_seen_at_us == APPLIED_US


def test_a_fault_that_moves_nothing_is_ineffective() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(3)
    scene.recovered()
    assert scene.judgements == []
    scene.windows(2)
    assert scene.judgements == [
        Judgement(
            fault_id="f-1",
            verdict="ineffective",
            evidence="nothing that should move did",
            is_final=True,
        )
    ]


def test_the_control_is_ineffective() -> None:
    scene = Scene(expectations=())
    scene.windows(10)
    scene.watch()
    scene.windows(4)
    scene.recovered()
    scene.windows(2)
    assert (scene.last.verdict, scene.last.is_final) == ("ineffective", True)


def test_the_control_without_windows_before_is_inconclusive() -> None:
    scene = Scene(expectations=())
    scene.next = 9
    scene.windows(1)
    scene.watch()
    scene.windows(4)
    scene.recovered()
    scene.windows(2)
    assert scene.last.verdict == "inconclusive"


def test_too_few_windows_before_are_inconclusive() -> None:
    scene = Scene()
    scene.next = 9
    scene.windows(1)
    scene.watch()
    scene.windows(4, front=SLOW)
    scene.recovered()
    scene.windows(2)
    assert scene.last.verdict == "inconclusive"


def test_no_traffic_is_inconclusive() -> None:
    scene = Scene()
    scene.windows(10, front={"metric/x/mean": 1.0})
    scene.watch()
    scene.windows(4, front={"metric/x/mean": 1.0})
    scene.recovered()
    scene.windows(2, front={"metric/x/mean": 1.0})
    assert scene.last.verdict == "inconclusive"


def test_traffic_that_stops_during_the_fault_is_inconclusive() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(1)
    scene.windows(3, front={"metric/x/mean": 1.0})
    scene.recovered()
    scene.windows(2)
    assert scene.last.verdict == "inconclusive"


def test_a_fault_shorter_than_a_window_is_judged_by_what_overlaps_it() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.recovered(APPLIED_US + SIZE_US)
    scene.windows(4)
    assert scene.last.verdict == "ineffective"


def test_a_single_strange_window_before_does_not_spoil_the_baseline() -> None:
    scene = Scene()
    scene.windows(9)
    scene.windows(1, front=SLOW)
    scene.watch()
    scene.windows(2, front=SLOW)
    assert scene.last.verdict == "confirmed"


def test_later_revisions_are_not_looked_at() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(3, front=SLOW, revision=1)
    assert scene.judgements == []


def test_nobody_waits_longer_than_half_a_minute_for_normal() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(4, front=SLOW)
    scene.recovered()
    scene.windows(7, front=SLOW)
    assert scene.last.is_final
    assert scene.last.normal_at_us is None


def test_without_windows_the_wall_clock_ends_the_waiting() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.recovered()
    assert scene.observer.judge(RECOVERED_US + GIVE_UP_US - 1) == []
    [judgement] = scene.observer.judge(RECOVERED_US + GIVE_UP_US)
    assert (judgement.verdict, judgement.is_final) == ("inconclusive", True)
    assert scene.observer.judge(RECOVERED_US + GIVE_UP_US) == []


def test_a_kill_between_two_samples_is_seen_by_the_counter_that_never_returns() -> None:
    before = {"metric/process.restarts/max": 3.0, "metric/service.instances.running/min": 1.0}
    after = {"metric/process.restarts/max": 4.0, "metric/service.instances.running/min": 1.0}
    scene = Scene(ProcessKill().expectations())
    scene.windows(10, cart=before)
    scene.watch()
    scene.recovered(10 * SIZE_US + 4_500_000)
    scene.windows(1, cart=before)
    scene.windows(3, cart=after)
    assert scene.last.verdict == "confirmed"
    assert scene.last.normal_at_us == 11 * SIZE_US


def test_a_paused_service_with_traffic_stops_serving() -> None:
    scene = Scene(ProcessPause().expectations())
    scene.windows(10, cart={"request/*/count": 100.0})
    scene.watch()
    scene.windows(2, cart={"metric/x/mean": 1.0})
    assert scene.last.verdict == "confirmed"
    assert "request/*/count went from 100 to 0" in scene.last.evidence


def test_an_abort_with_a_client_error_shows_in_missing_requests() -> None:
    scene = Scene(HttpAbort(status=404, ratio=0.5, endpoint="").expectations())
    scene.windows(10, cart={"request/*/count": 100.0})
    scene.watch()
    scene.windows(2, cart={"request/*/count": 50.0})
    assert scene.last.verdict == "confirmed"


def test_two_faults_on_one_target_are_judged_each_for_itself() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.observer.watch("f-2", target="cart", expectations=(), applied_at_us=APPLIED_US)
    scene.windows(4, front=SLOW)
    scene.recovered()
    scene.observer.recovered("f-2", RECOVERED_US)
    scene.windows(2)
    assert {each.fault_id: each.verdict for each in scene.judgements} == {
        "f-1": "confirmed",
        "f-2": "ineffective",
    }


def test_features_that_are_no_numbers_are_left_out() -> None:
    scene = Scene()
    scene.windows(10)
    scene.watch()
    scene.windows(4, front={"call/cart/p50_ms": float("nan")})
    scene.recovered()
    scene.windows(2)
    assert scene.last.verdict == "inconclusive"
