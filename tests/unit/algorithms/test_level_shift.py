"""What shipped detectors say at calibrated thresholds where a service changes for good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.alarms import AlarmDecider, Calibration, Decision
from microservo.domain.system_rows import SystemRows
from schemas.records import FeatureWindow
from tests.unit.algorithms.test_obvious_faults import SERVICES, SOON, Change, changed, failing, sample, slow

SHIFTED = "cartservice"
FAULT_FREE = 120
"""Windows, ten minutes, in which thresholds are found."""
SHIFT = 130
"""Number of the first window that is different; all later ones of the service are."""
USUAL_AFTER = 240
"""Windows, twenty minutes: then what goes on is usual."""
WINDOWS = SHIFT + USUAL_AFTER + 120


def windows() -> list[tuple[int, FeatureWindow]]:
    """The fault-free time of the sample again and again, as if it went on; each window with its number."""
    usual: dict[int, list[FeatureWindow]] = {}
    for each in sample().windows:
        if each.end_us <= sample().fault_free_until_us and each.service in SERVICES:
            usual.setdefault(each.start_us, []).append(each)
    instants, size_us = sorted(usual), sample().window_us
    return [
        (number, replace(each, start_us=number * size_us, end_us=(number + 1) * size_us))
        for number in range(WINDOWS)
        for each in usual[instants[number % len(instants)]]
    ]


def decided(kind: str, change: Change) -> list[Decision]:
    """What a detector says where one service is different from some window on."""
    size_us = sample().window_us
    shown = [
        changed(each, change) if number >= SHIFT and each.service == SHIFTED else each
        for number, each in windows()
    ]
    decider = AlarmDecider(
        kind, calibration=Calibration(window_us=size_us), fault_free_until_us=FAULT_FREE * size_us
    )
    with unfenced_session(resolve(kind)) as session:
        session.open()
        _, decisions = Detecting(session, decider, SystemRows(WINDOWS * size_us)).take(
            [(each, 0) for each in shown]
        )
    assert decider.threshold is not None
    return [*decisions, *decider.advance(WINDOWS * size_us)]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((kind, slow) for kind in ("n-sigma", "robust-z", "trace-deviation")),
        *((kind, failing) for kind in ("n-sigma", "robust-z", "trace-deviation", "log-surprise")),
    ],
)
def test_a_service_that_changes_for_good_raises_an_alarm_soon_which_ends_when_the_change_is_usual(
    kind: str, change: Change
) -> None:
    alarms = [each.alarm for each in decided(kind, change)]
    assert {each.service for each in alarms} == {SHIFTED}
    size_us = sample().window_us
    first = alarms[0]
    assert SHIFT < first.opened_us / size_us <= SHIFT + SOON
    opened = [each.opened_us for each in alarms if each.closed_us is None]
    closed = {each.opened_us: each.closed_us for each in alarms if each.closed_us is not None}
    assert list(closed) == opened, "none stays open"
    usual_us = (SHIFT + USUAL_AFTER) * size_us
    assert (SHIFT + SOON) * size_us < closed[first.opened_us] <= usual_us, "nor does the first one flicker"
    late_us = sum(
        end_us - max(begin_us, usual_us) for begin_us, end_us in closed.items() if end_us > usual_us
    )
    assert late_us <= 0.05 * (WINDOWS * size_us - usual_us), "what comes later are single false alarms"
