from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.detecting import Detecting, Scored
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.alarms import AlarmDecider, Calibration, Decision
from microservo.domain.system_rows import SYSTEM, SystemRows
from schemas.records import FeatureWindow

S = 1_000_000
SIZE_US = 5 * S
FAULT_FREE_US = 40 * SIZE_US
SERVICES = ("ads", "cart", "frontend")
NAMES = ("call/cart/p50_ms", "log/severity/warn", "metric/process.memory.usage/mean", "telemetry/silent")
FAULT = range(60, 64)
"""Numbers of the windows in which cart is odd."""

Fed = list[tuple[FeatureWindow, int]]


def windows(count: int = 80) -> Fed:
    """Windows of three services on two partitions, in order of time; of cart, some are odd."""
    rng = Random(5)
    found = []
    for number in range(1, count + 1):
        for service in SERVICES:
            odd = service == "cart" and number in FAULT
            values = (
                20.0 + rng.random(),
                float(rng.randrange(3)),
                (900.0 if odd else 100.0) + rng.random(),
                0.0,
            )
            window = FeatureWindow(
                run_id="run-1",
                service=service,
                start_us=number * SIZE_US,
                end_us=(number + 1) * SIZE_US,
                revision=0,
                names=NAMES,
                values=values,
            )
            found.append((window, SERVICES.index(service) % 2))
    return found


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Detecting]:
    """A detector at work, of the changes to a declaration that a test names."""
    with detecting(**getattr(request, "param", {})) as found:
        yield found


@contextmanager
def detecting(kind: str = "n-sigma", **changes: object) -> Iterator[Detecting]:
    with unfenced_session(resolve(kind, changes)) as session:
        session.open()
        decider = AlarmDecider(
            kind, calibration=Calibration(window_us=SIZE_US), fault_free_until_us=FAULT_FREE_US
        )
        yield Detecting(session, decider, SystemRows(keep_us=100 * SIZE_US))


def run(made: Detecting, fed: Fed, batch: int = 7) -> tuple[list[Scored], list[Decision]]:
    scored, decisions = [], []
    for begin in range(0, len(fed), batch):
        more_scored, more_decisions = made.take(fed[begin : begin + batch])
        scored += more_scored
        decisions += more_decisions
    return sorted(scored, key=lambda each: (each.service, each.start_us)), decisions


def test_every_window_gets_one_score_and_the_odd_one_an_alarm(made: Detecting) -> None:
    scored, decisions = run(made, windows())
    assert [(each.service, each.start_us) for each in scored] == sorted(
        (window.service, window.start_us) for window, _ in windows()
    )
    opened = [each for each in decisions if each.alarm.closed_us is None]
    assert [(each.alarm.service, each.alarm.opened_us) for each in opened] == [
        ("cart", (FAULT[0] + 1) * SIZE_US)
    ]
    assert opened[0].case is not None


def test_windows_that_come_again_are_not_scored_again(made: Detecting) -> None:
    fed = windows(20)
    first, _ = made.take(fed)
    again, _ = made.take(fed)
    assert len(first) == len(fed)
    assert again == []


def test_in_whatever_batches_and_order_of_partitions_scores_and_decisions_are_the_same() -> None:
    fed = windows()
    ahead = sorted(fed, key=lambda each: (each[0].start_us - SIZE_US * (each[1] == 0), -each[1]))
    with detecting() as one, detecting() as other, detecting() as third:
        whole = run(one, fed, batch=1)
        assert repr(run(other, fed, batch=240)) == repr(whole)
        assert repr(run(third, ahead, batch=11)) == repr(whole)


@pytest.mark.parametrize("made", [{"per": "system"}], indirect=True)
def test_one_object_for_the_system_scores_each_instant_once_all_services_are_there(made: Detecting) -> None:
    fed = windows(40)
    scored, _ = run(made, fed, batch=1)
    assert {each.service for each in scored} == {SYSTEM}
    assert [each.start_us // SIZE_US for each in scored] == list(range(9, 41))
    assert made.snapshot() is None


@pytest.mark.parametrize("made", [{"signals": ["logs"]}], indirect=True)
def test_what_is_not_declared_is_not_given(made: Detecting) -> None:
    scored, _ = run(made, windows())
    cart = {each.start_us // SIZE_US: each.score for each in scored if each.service == "cart"}
    usual = [score for number, score in cart.items() if number > 20 and number not in FAULT]
    assert max(cart[number] for number in FAULT) <= max(usual) * 1.5


def test_the_identity_of_what_was_given_changes_with_it_alone() -> None:
    with detecting() as one, detecting(signals=["logs"]) as other:
        whole, part = (run(each, windows(10))[0] for each in (one, other))
    assert len({each.input_sha256 for each in whole}) == len(whole)
    assert {each.input_sha256 for each in whole}.isdisjoint(each.input_sha256 for each in part)


def test_hosts_are_not_scored_where_only_services_are_declared(made: Detecting) -> None:
    fed = windows(3)
    host = [
        (replace(window, service="host-1", service_kind="host"), partition) for window, partition in fed[:1]
    ]
    scored, _ = made.take([*fed, *host])
    assert {each.service for each in scored} == set(SERVICES)


def test_one_that_goes_on_from_a_snapshot_scores_and_decides_as_if_nothing_was() -> None:
    fed = windows()
    with detecting() as one:
        whole = run(one, fed, batch=1)
    cut = 3 * 62
    with detecting() as first:
        before = run(first, fed[:cut], batch=5)
        outer, inner = first.snapshot(), first._session.snapshot()
    with detecting() as second:
        second._session.restore(inner)
        assert outer is not None
        second.restore(json.loads(json.dumps(outer)))
        after = run(second, fed[cut - 9 :], batch=5)
    assert sorted(map(repr, before[0] + after[0])) == sorted(map(repr, whole[0]))
    assert before[1] + after[1] == whole[1]
    assert math.isfinite(after[0][0].score)
