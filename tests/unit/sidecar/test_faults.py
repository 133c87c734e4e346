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
from services.sidecar.faults.base import AnswerEffect
from services.sidecar.faults.corrupt import NetworkCorrupt
from services.sidecar.faults.delay import NetworkDelay
from services.sidecar.faults.http_abort import HttpAbort
from services.sidecar.faults.http_delay import HttpDelay
from services.sidecar.faults.loss import MAX_LOSSES, NetworkLoss
from services.sidecar.faults.reorder import NetworkReorder
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
        ("disk-full", {}, "can't make 'disk-full'; it can make connection-abort"),
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
        ("http-replace", {"status": 204, "endpoint": ""}, "status 204 has no body"),
        ("http-replace", {"status": 199, "endpoint": ""}, "status is 199, expected a whole number from 200"),
        ("http-patch", {"field": "", "value": "1"}, "field is '', expected a text"),
        ("http-patch", {"field": "price"}, "needs the parameter 'value'"),
        ("http-truncate", {"after_bytes": -1, "ratio": 1}, "after_bytes is -1, expected a whole number"),
        ("slow-close", {"delay_us": "1s"}, "delay_us is '1s'"),
        ("connection-abort", {"endpoint": "", "ratio": 1}, "has no parameter 'ratio'"),
        ("connection-limit", {"connections": 0}, "connections is 0, expected a whole number from 1"),
        ("port-refuse", {"port": 80}, "has no parameter 'port'"),
        ("network-partition", {}, "needs the parameter 'peer'"),
        ("network-partition", {"peer": ""}, "peer is '', expected a text"),
        (
            "network-delay",
            {"latency_us": 1, "jitter_us": 0, "peer": 3},
            "peer is 3, expected a service's name",
        ),
        ("network-corrupt", {"ratio": 2}, "ratio is 2"),
        ("network-reorder", {"latency_us": 1, "ratio": 1, "gap": 0}, "gap is 0"),
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
    assert not some.touches_answers
    assert not some.closes_port


def test_these_are_the_kinds() -> None:
    assert list(KINDS) == [
        "connection-abort",
        "connection-limit",
        "connection-reset",
        "http-abort",
        "http-delay",
        "http-patch",
        "http-replace",
        "http-truncate",
        "network-bandwidth",
        "network-corrupt",
        "network-delay",
        "network-loss",
        "network-partition",
        "network-reorder",
        "port-refuse",
        "region-cut",
        "slow-close",
    ]


def test_damage_costs_what_a_loss_does() -> None:
    damaged, lost = (kind(ratio=0.5, chance=random.Random(1)) for kind in (NetworkCorrupt, NetworkLoss))
    assert [damaged.on_segment(1000, 5.0) for _ in range(50)] == [
        lost.on_segment(1000, 5.0) for _ in range(50)
    ]


def test_one_segment_in_so_many_overtakes() -> None:
    fault = NetworkReorder(latency_us=100_000, ratio=1.0, gap=3, chance=random.Random(1))
    held = [effect.hold_s if (effect := fault.on_segment(1000, 5.0)) else 0.0 for _ in range(6)]
    assert held == [0.1, 0.1, 0.0, 0.1, 0.1, 0.0]


def test_a_fault_towards_one_caller_leaves_the_others_alone() -> None:
    some = faults()
    some.apply("f1", "network-delay", {"latency_us": 100_000, "jitter_us": 0, "peer": "front"})
    assert len(some.segment_hits(1000, 5.0, "front")) == 1
    assert some.segment_hits(1000, 5.0, "checkout") == []
    assert some.segment_hits(1000, 5.0) == []
    some.apply("f2", "network-partition", {"peer": "front"})
    assert len(some.request_hits(Head("GET", "GetCart", "front"))) == 1
    assert some.request_hits(Head("GET", "GetCart", "checkout")) == []
    assert some.stream_hits(set()) == []


def test_answers_are_chosen_by_endpoint_and_share() -> None:
    some, cart, other = faults(), Head("GET", "GetCart"), Head("GET", "EmptyCart")
    some.apply("f1", "http-replace", {"status": 500, "endpoint": "GetCart"})
    some.apply("f2", "http-patch", {"field": "price", "value": "0", "endpoint": "GetCart"})
    assert [hit.effect for hit in some.answer_hits(cart)] == [
        AnswerEffect(status=500),
        AnswerEffect(patch=("price", "0")),
    ]
    assert some.answer_hits(other) == []
    some.remove("f1")
    some.remove("f2")
    assert not some.touches_answers
    some.apply("f3", "http-truncate", {"after_bytes": 10, "ratio": 0.3})
    assert 200 < sum(bool(some.answer_hits(cart)) for _ in range(1000)) < 400
    assert some.answer_hits(None) == []


def test_a_limit_counts_whom_it_refuses_and_a_closed_port_does_not() -> None:
    some = faults()
    limit = some.apply("f1", "connection-limit", {"connections": 2})
    assert some.refusal(2) is None
    assert some.refusal(3) is limit
    assert limit.hits == 1
    some.remove("f1")
    closed = some.apply("f2", "port-refuse", {})
    assert some.closes_port
    assert some.refusal(1) is closed
    assert closed.hits is None
