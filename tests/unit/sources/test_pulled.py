"""Sources that read on an interval of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microservo.domain.rows import MetricRows, coded
from microservo.sources.inbox import Inbox
from microservo.sources.pulled import PulledSource, next_due
from microservo.testing import eventually


def a_point() -> list[MetricRows]:
    time_us = np.array([1], np.int64)
    return [MetricRows(service="s", instance="", time_us=time_us, name=coded(["m"]), value=np.array([1.0]))]


@settings(deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 1e3), st.floats(0.1, 10))
def test_the_next_due_time_is_ahead_and_on_the_grid(due_s: float, behind_s: float, interval_s: float) -> None:
    later_s = next_due(due_s, due_s + behind_s, interval_s)
    assert later_s >= due_s + behind_s - 1e-6
    assert later_s - (due_s + behind_s) <= interval_s + 1e-6
    steps = (later_s - due_s) / interval_s
    assert steps == pytest.approx(round(steps), abs=1e-4)


def test_a_source_goes_on_after_a_reading_that_failed() -> None:
    calls: list[int] = []

    def read() -> list[MetricRows]:
        calls.append(1)
        if len(calls) == 1:
            msg = "the first one fails"
            raise ValueError(msg)
        return a_point()

    inbox = Inbox("test", 10, gather_s=0, enough_records=1)
    source = PulledSource("p", "metrics", read, interval_s=0.01)
    source.start(inbox)
    eventually(lambda: inbox.records, what="a reading")
    source.stop()


def test_readings_that_do_not_fit_are_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox("test", 1, gather_s=0, enough_records=1)
    source = PulledSource("p", "metrics", a_point, interval_s=0.01)
    source.start(inbox)
    eventually(lambda: "a reading of p is dropped: 1 of 1 records wait" in caplog.text, what="the warning")
    source.stop()
    assert len(inbox.drain(0)) == 1
