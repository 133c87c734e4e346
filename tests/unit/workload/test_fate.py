"""What befalls requests without any fault."""

from __future__ import annotations

import statistics

import pytest

from microservo.domain.topology import Call, Endpoint, Noise
from services.workload.fate import Fate, fate_of

NOISE = Noise(
    error_share=0.02,
    busy_share=0.03,
    reset_share=0.01,
    crash_share=0.04,
    slow_share=0.1,
    slow_ms=50.0,
    warning_share=0.05,
    work_sigma=0.5,
)
CALLS = (Call(service="back", endpoint="Get", share=0.3), Call(service="back", endpoint="Put"))
GET = Endpoint(name="Get", cpu_ms=2.0, calls=CALLS, noise=NOISE)


def fates(count: int = 20_000, seed: str = "7/cart") -> list[Fate]:
    return [fate_of(GET, seed, f"{number}.0") for number in range(count)]


def test_the_same_request_meets_the_same_in_every_run_of_a_seed_and_another_elsewhere() -> None:
    assert fates(200) == fates(200)
    assert fates(200) != fates(200, seed="8/cart")
    assert fates(200) != fates(200, seed="7/ad")


def test_shares_are_those_of_the_topology() -> None:
    found = fates()
    for outcome, share in (("broken", 0.02), ("busy", 0.03), ("reset", 0.01), ("crashed", 0.04)):
        assert sum(fate.outcome == outcome for fate in found) / len(found) == pytest.approx(share, rel=0.2)
    assert sum(fate.warning is not None for fate in found) / len(found) == pytest.approx(0.05, rel=0.2)
    assert sum(fate.makes[0] for fate in found) / len(found) == pytest.approx(0.3, rel=0.1)
    assert all(fate.makes[1] for fate in found)


def test_a_share_of_requests_waits_for_an_exponential_time() -> None:
    waits = [fate.wait_s for fate in fates() if fate.wait_s]
    assert len(waits) / 20_000 == pytest.approx(0.1, rel=0.1)
    assert statistics.mean(waits) == pytest.approx(0.05, rel=0.1)
    assert max(waits) > 0.2, "the tail is heavy"


def test_work_is_lognormal_about_its_median() -> None:
    work_ms = [1000 * fate.cpu_s for fate in fates()]
    assert statistics.median(work_ms) == pytest.approx(2.0, rel=0.03)
    assert statistics.quantiles(work_ms, n=100)[98] == pytest.approx(2.0 * 3.2, rel=0.1)


def test_without_noise_every_request_is_served_at_once() -> None:
    calm = Endpoint(name="Get", cpu_ms=1.0, noise=Noise(work_sigma=0.0))
    assert {
        (f.outcome, f.wait_s, f.warning, f.cpu_s) for f in (fate_of(calm, "7", str(n)) for n in range(50))
    } == {("served", 0.0, None, 0.001)}
