"""The page of a follow-the-sun run shows what came of it, and needs nothing but itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from microservo.system.follow_the_sun import Replicas, SunResult, Waits
from microservo.system.sun_report import write_sun_report
from schemas.records import ControlEvent

S = 1_000_000
BEGAN_US = 1_800_000_000 * S


def result() -> SunResult:
    """Of users who wait 20 ms, 120 ms from the 20th second on, and 30 ms from the 40th on."""
    seconds = np.arange(60, dtype=np.int64)
    waits_ms = np.where(seconds < 20, 20, np.where(seconds < 40, 120, 30))
    return SunResult(
        run_id="run-<1>",
        began_us=BEGAN_US,
        moved_us=BEGAN_US + 20 * S,
        first_us=BEGAN_US + 30 * S,
        followed_us=BEGAN_US + 40 * S,
        ended_us=BEGAN_US + 60 * S,
        replicas=tuple(
            Replicas(at_us=BEGAN_US + second * S, by_region=Counter({region: 3}), by_service=Counter())
            for second, region in ((0, "Europe"), (40, "Asia"))
        ),
        waits=Waits(
            start_us=BEGAN_US + seconds * S,
            duration_us=waits_ms * 1000,
            failed=(seconds == 45).astype(np.int64),
        ),
        events=(
            ControlEvent(
                entity="container/front-1",
                decision_id="d1",
                state="decided",
                at_us=BEGAN_US + 25 * S,
                manager="master",
                action="migrate",
                rule="follow-demand",
                service="front",
                from_host="berlin",
                to_host="tokyo",
            ),
        ),
    )


def test_waits_are_told_apart_by_where_users_and_services_were() -> None:
    found = result()
    assert (found.before_ms, found.away_ms, found.after_ms) == (20, 120, 30)
    assert found.waits.failures(found.began_us, found.ended_us) == (1, 60)


def test_the_page_shows_them_and_needs_nothing_but_itself(tmp_path: Path) -> None:
    write_sun_report(tmp_path / "new" / "report.html", result())
    page = (tmp_path / "new" / "report.html").read_text("utf-8")
    for shown in ("run-&lt;1&gt;", "20 ms", "120 ms", "30 ms", "60, 1", "25.0 s", "berlin", "follow-demand"):
        assert shown in page
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "src=" not in page
    # Europe is full for two thirds of the time.
    assert "M0,56L0,56L0,8.4L573.3,8.4L573.3,56" in page


def test_a_run_without_any_request_has_a_page_too(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    found = result()
    without = SunResult(
        run_id="run-2",
        began_us=found.began_us,
        moved_us=found.moved_us,
        first_us=found.first_us,
        followed_us=found.followed_us,
        ended_us=found.ended_us,
        replicas=(),
        waits=Waits(start_us=nothing, duration_us=nothing, failed=nothing),
        events=(),
    )
    write_sun_report(tmp_path / "report.html", without)
    assert "0, 0" in (tmp_path / "report.html").read_text("utf-8")
