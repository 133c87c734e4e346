"""Each kind by itself: what it asks for, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from services.sidecar.fault_set import ActiveFault, FaultSet
from services.sidecar.faults import KINDS
from services.sidecar.faults.bandwidth import NetworkBandwidth
from services.sidecar.faults.delay import NetworkDelay
from services.sidecar.faults.http_abort import HttpAbort
from services.sidecar.faults.http_delay import HttpDelay
from services.sidecar.faults.loss import MAX_LOSSES, NetworkLoss
from services.sidecar.faults.reset import ConnectionReset
from services.sidecar.framing import Head


def faults() -> FaultSet:
    return FaultSet(instance="cart-0", seed=7)


def holds_s(of: FaultSet, count: int) -> list[float]:
    return [sum(hit.effect.hold_s for hit in of.segment_hits(1000, 5.0)) for _ in range(count)]


def test_delay_holds_every_segment_within_its_jitter() -> None:
    fault = NetworkDelay(latency_us=300_000, jitter_us=50_000, chance=random.Random(1))
    held = [effect.hold_s for _ in range(200) if (effect := fault.on_segment(1000, 5.0))]
    assert len(held) == 200
    assert all(0.25 <= hold_s <= 0.35 for hold_s in held)
    assert max(held) - min(held) > 0.05


def test_delay_is_never_negative() -> None:
    fault = NetworkDelay(latency_us=0, jitter_us=50_000, chance=random.Random(1))
    assert all(effect.hold_s >= 0 for _ in range(100) if (effect := fault.on_segment(1000, 5.0)))


def test_loss_costs_a_timeout_that_doubles() -> None:
    fault = NetworkLoss(ratio=0.5, chance=random.Random(1))
    effects = [fault.on_segment(1000, 5.0) for _ in range(1000)]
    assert {round(effect.hold_s, 3) for effect in effects if effect} == {0.2, 0.6, 1.4, 3.0, 6.2, 12.6}
    assert 400 < sum(effect is not None for effect in effects) < 600


def test_total_loss_resets_after_the_last_retransmission() -> None:
    effect = NetworkLoss(ratio=1.0, chance=random.Random(1)).on_segment(1000, 5.0)
    assert effect is not None
    assert effect.reset
    assert effect.hold_s == pytest.approx(0.2 * (2**MAX_LOSSES - 1))


def test_bandwidth_is_one_link_for_all_segments() -> None:
    fault = NetworkBandwidth(bytes_per_s=1000)
    held = [effect.hold_s for _ in range(3) if (effect := fault.on_segment(500, 5.0))]
    assert held == pytest.approx([0.5, 1.0, 1.5])
    idle = fault.on_segment(500, 60.0)
    assert idle is not None
    assert idle.hold_s == pytest.approx(0.5)


def test_request_faults_choose_by_endpoint_and_share() -> None:
    cart, other = Head("GET", "GetCart"), Head("GET", "EmptyCart")
    delay = HttpDelay(delay_us=1000, ratio=1.0, endpoint="GetCart", chance=random.Random(1))
    assert delay.on_request(cart) is not None
    assert delay.on_request(other) is None
    assert delay.on_request(None) is None
    abort = HttpAbort(status=503, ratio=0.3, endpoint="", chance=random.Random(1))
    assert 200 < sum(abort.on_request(other) is not None for _ in range(1000)) < 400


def test_reset_also_strikes_streams_that_are_not_http_but_once() -> None:
    some = faults()
    some.apply("f1", "connection-reset", {"ratio": 1.0})
    met: set[ActiveFault] = set()
    assert len(some.stream_hits(met)) == 1
    assert some.stream_hits(met) == []
    assert ConnectionReset(ratio=0.0, chance=random.Random(1)).on_request(None) is None


def test_same_seed_instance_and_id_take_the_same_chances() -> None:
    def run(fault_id: str) -> list[float]:
        some = faults()
        some.apply(fault_id, "network-delay", {"latency_us": 1000, "jitter_us": 500})
        return holds_s(some, 20)

    assert run("f1") == run("f1")
    assert run("f1") != run("f2")


def test_faults_of_the_same_kind_add_up() -> None:
    some = faults()
    some.apply("f1", "network-delay", {"latency_us": 100_000, "jitter_us": 0})
    some.apply("f2", "network-delay", {"latency_us": 200_000, "jitter_us": 0})
    assert holds_s(some, 1) == pytest.approx([0.3])
    some.remove("f1")
    assert holds_s(some, 1) == pytest.approx([0.2])
    some.remove("f2")
    assert holds_s(some, 1) == [0]
    assert not some.touches_segments


def test_an_id_is_applied_once() -> None:
    some = faults()
    first = some.apply("f1", "network-loss", {"ratio": 0.1})
    assert some.apply("f1", "network-loss", {"ratio": 0.1}) is first
    with pytest.raises(Conflict, match=r"f1.*network-loss.*remove it first"):
        some.apply("f1", "network-loss", {"ratio": 0.2})


@pytest.mark.parametrize(
    ("kind", "parameters", "sentence"),
    [
        ("disk-full", {}, "can't make 'disk-full'; it can make connection-reset"),
        ("network-delay", {"latency_us": 5}, "needs the parameter 'jitter_us'"),
        (
            "network-delay",
            {"latency_us": -5, "jitter_us": 0},
            "latency_us is -5, expected a whole number from 0",
        ),
        ("network-delay", {"latency_us": 1.5, "jitter_us": 0}, "latency_us is 1.5"),
        ("network-delay", {"latency_us": True, "jitter_us": 0}, "latency_us is True"),
        ("network-loss", {"ratio": 1.1}, "ratio is 1.1, expected a number from 0 to 1"),
        ("network-loss", {"ratio": "0.5"}, "ratio is '0.5'"),
        ("network-loss", {"ratio": float("nan")}, "ratio is nan"),
        ("network-loss", {"ratio": 0.5, "rate": 1}, "has no parameter 'rate'"),
        ("network-bandwidth", {"bytes_per_s": 0}, "bytes_per_s is 0, expected a whole number from 1"),
        ("connection-reset", {}, "needs the parameter 'ratio'"),
        (
            "http-delay",
            {"delay_us": 5, "ratio": 1, "endpoint": 3},
            "endpoint is 3, expected an endpoint's name",
        ),
        ("http-abort", {"status": 200, "ratio": 1}, "status is 200, expected a whole number from 400 to 599"),
    ],
)
def test_wrong_requests_are_refused_by_name(
    kind: str, parameters: Mapping[str, object], sentence: str
) -> None:
    some = faults()
    with pytest.raises(InvalidInput) as refused:
        some.apply("f1", kind, parameters)
    assert sentence in str(refused.value)
    assert len(some) == 0
    assert not some.touches_segments
    assert not some.touches_requests


def test_there_are_six_kinds() -> None:
    assert sorted(KINDS) == [
        "connection-reset",
        "http-abort",
        "http-delay",
        "network-bandwidth",
        "network-delay",
        "network-loss",
    ]
