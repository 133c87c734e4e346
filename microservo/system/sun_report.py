"""The page of a follow-the-sun run: map, replicas by region over time, how long users waited."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microservo.datasets.pages import own, template
from microservo.domain.geography import Coordinates, distance_m, travel_time_s
from microservo.system.follow_the_sun import BERLIN, HOSTS, RULE, TOKYO, SunResult

_WIDTH, _ROW, _WAITS = 860.0, 56.0, 240.0
_SCALE = 2.0
"""Pixels of the map per degree."""
_MEDIAN_US = 2_000_000
_MOST_POINTS = 3000


@dataclass(frozen=True, slots=True)
class _Axis:
    """Instants of the run as pixels from the left."""

    from_us: int
    to_us: int

    def x(self, at_us: float) -> float:
        return round(_WIDTH * (at_us - self.from_us) / max(1, self.to_us - self.from_us), 1)


def write_sun_report(file: Path, result: SunResult) -> None:
    """Writes the page, which needs nothing but itself.

    Raises:
        OSError: it can't be written.
    """
    axis = _Axis(result.began_us, result.ended_us)
    ceiling_ms = _ceiling_ms(result)
    page = template("page/sun.html.jinja").render(
        run_id=result.run_id,
        rule=RULE,
        facts=_facts(result),
        hosts=[
            _host(index, host.name, host.region_name, host.coordinates) for index, host in enumerate(HOSTS)
        ],
        users=[_at(BERLIN.coordinates), _at(TOKYO.coordinates)],
        width=_WIDTH,
        row=_ROW,
        waits_height=_WAITS,
        regions=[
            {"name": host.region_name, "index": index, "path": _replicas(result, host.region_name, axis)}
            for index, host in enumerate(HOSTS)
        ],
        marks=[
            {"x": axis.x(at_us), "text": text}
            for at_us, text in (
                (result.moved_us, "users move"),
                (result.first_us, "first service follows"),
                (result.followed_us, "all have followed"),
            )
        ],
        points=_points(result, axis, ceiling_ms),
        median=_median(result, axis, ceiling_ms),
        levels=[
            {"y": round(_WAITS * (1 - share), 1), "text": f"{ceiling_ms * share:.0f} ms"}
            for share in (0.25, 0.5, 0.75, 1.0)
        ],
        ticks=[
            {"x": axis.x(at_us), "text": f"{(at_us - result.began_us) / 1e6:.0f} s"}
            for at_us in range(result.began_us, result.ended_us, 20_000_000)
        ],
        moves=_moves(result),
        css=own("page/page.css"),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, "utf-8")


def _facts(result: SunResult) -> dict[str, str]:
    failed, requests = result.waits.failures(result.began_us, result.ended_us)
    way_ms = 2e3 * travel_time_s(BERLIN.coordinates, TOKYO.coordinates)
    return {
        "Median wait, services beside users": f"{result.before_ms:.0f} ms",
        "After the users had moved": f"{result.away_ms:.0f} ms",
        "After the services had followed": f"{result.after_ms:.0f} ms",
        "Light needs, there and back": f"{way_ms:.0f} ms",
        "Distance": f"{distance_m(BERLIN.coordinates, TOKYO.coordinates) / 1000:,.0f} km",
        "From users' move to services'": f"{(result.followed_us - result.moved_us) / 1e6:.0f} s",
        "Requests, of them failed": f"{requests}, {failed}",
    }


def _ceiling_ms(result: SunResult) -> float:
    """Top of the chart: most of the waits are below, and those of a moment's trouble at its rim."""
    waits_ms = result.waits.quantile_ms(0.9, result.began_us, result.ended_us)
    return 50.0 if np.isnan(waits_ms) else max(50.0, 1.1 * waits_ms)


def _at(place: Coordinates) -> tuple[float, float]:
    return round(_SCALE * (place.longitude + 180), 1), round(_SCALE * (90 - place.latitude), 1)


def _host(index: int, name: str, region: str, place: Coordinates) -> dict[str, object]:
    x, y = _at(place)
    return {"x": x, "y": y, "name": name, "region": region, "index": index}


def _replicas(result: SunResult, region: str, axis: _Axis) -> str:
    """The area of how many ran in a region, from look to look."""
    seen = [each for each in result.replicas if axis.from_us <= each.at_us <= axis.to_us]
    most = max((count for each in seen for count in each.by_region.values()), default=1)
    path, height = [f"M0,{_ROW:g}"], _ROW
    for each in seen:
        x, after = axis.x(each.at_us), round(_ROW * (1 - each.by_region[region] / most * 0.85), 1)
        path.append(f"L{x:g},{height:g}L{x:g},{after:g}")
        height = after
    return "".join([*path, f"L{_WIDTH:g},{height:g}L{_WIDTH:g},{_ROW:g}Z"])


def _points(result: SunResult, axis: _Axis, ceiling_ms: float) -> list[tuple[float, float]]:
    waits = result.waits
    chosen = np.flatnonzero((waits.start_us >= axis.from_us) & (waits.start_us <= axis.to_us))
    chosen = chosen[:: max(1, -(-chosen.size // _MOST_POINTS))]
    return [
        (axis.x(int(waits.start_us[index])), _y(int(waits.duration_us[index]) / 1e3, ceiling_ms))
        for index in chosen
    ]


def _median(result: SunResult, axis: _Axis, ceiling_ms: float) -> str:
    """The line of medians."""
    found = []
    for from_us in range(axis.from_us, axis.to_us, _MEDIAN_US):
        median_ms = result.waits.median_ms(from_us, from_us + _MEDIAN_US)
        if not np.isnan(median_ms):
            found.append(f"{axis.x(from_us + _MEDIAN_US / 2):g},{_y(median_ms, ceiling_ms):g}")
    return " ".join(found)


def _y(wait_ms: float, ceiling_ms: float) -> float:
    return round(_WAITS * (1 - min(1.0, wait_ms / ceiling_ms)), 1)


def _moves(result: SunResult) -> list[tuple[str, ...]]:
    return [
        (
            f"{(each.at_us - result.began_us) / 1e6:.1f} s",
            each.action,
            each.state,
            each.service,
            each.from_host,
            each.to_host,
            each.rule,
            each.reason,
        )
        for each in result.events
    ]
