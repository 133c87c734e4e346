"""The figures, from what the journals hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import Figure, figure
from benchmarks.latencies import quantile
from benchmarks.truth.leaks import MOST_OF_A_CONSTANT, MOST_OF_A_LEAK
from benchmarks.truth.shares import Share

COMMAND = "python -m benchmarks.truth"
_ASKED = "asked for"
_Line = Mapping[str, Any]


def placebo_figures(lines: Sequence[_Line]) -> Iterator[Figure]:
    """Shares of virtual faults that were called confirmed or found to show, of each kind and strength."""
    for (kind, strength), group in _grouped(lines, "kind", "strength"):
        of = f"{kind}, {strength}, {len(group)} placebo trials"
        confirmed = Share(count=sum(line["verdict"] == "confirmed" for line in group), total=len(group))
        affected = Share(count=sum(bool(line["affected"]) for line in group), total=len(group))
        yield _share(f"false confirmed: {of}", confirmed, 1.0)
        yield _share(f"false affected: {of}", affected, 1.0)


def injection_figures(lines: Sequence[_Line]) -> Iterator[Figure]:
    """Shares of real faults that were confirmed, and how far the effect as seen lies from the twin's."""
    for (kind,), group in _grouped([line for line in lines if not line["overlapped"]], "kind"):
        for name, some in (("", group), (", 2 s", [line for line in group if line["length_s"] == 2])):
            confirmed = Share(count=sum(line["verdict"] == "confirmed" for line in some), total=len(some))
            yield _share(f"confirmed: {kind}{name}, {len(some)} injections", confirmed, 95.0)
    apart_ms = [
        abs(line["seen_us"] - line["first_us"]) / 1000
        for line in lines
        if line["seen_us"] is not None and line["first_us"] is not None
    ]
    for title, share, asked_ms in (("p50", 0.5, 100.0), ("p95", 0.95, 500.0)) if lines else ():
        name = f"effect seen, from the twin's first deviating record, {title} of {len(apart_ms)}"
        value = quantile(apart_ms, share)
        yield figure(name, value, "ms", peer=_ASKED, peer_value=asked_ms, command=COMMAND)
    for (kind,), group in _grouped([line for line in lines if line["overlapped"]], "kind"):
        confirmed = Share(count=sum(line["verdict"] == "confirmed" for line in group), total=len(group))
        yield _share(f"confirmed: weak {kind} under another fault, {len(group)} injections", confirmed, 1.0)


def leak_figures(areas: Mapping[str, float], windows: int) -> Iterator[Figure]:
    """The areas under the curve of what must not tell windows apart."""
    for name, area in areas.items():
        most = MOST_OF_A_CONSTANT if name == "constant per service" else MOST_OF_A_LEAK
        title = f"leak, {name} alone, {windows} windows"
        yield figure(title, area, "AUC", peer=_ASKED, peer_value=most, command=COMMAND)


def _share(name: str, share: Share, asked_percent: float) -> Figure:
    low, high = share.interval
    percent = None if share.value is None else 100 * share.value
    title = f"{name} [{100 * low:.1f} to {100 * high:.1f} %]"
    return figure(title, percent, "%", peer=_ASKED, peer_value=asked_percent, command=COMMAND)


def _grouped(lines: Iterable[_Line], *names: str) -> list[tuple[tuple[str, ...], list[_Line]]]:
    groups: dict[tuple[str, ...], list[_Line]] = {}
    for line in lines:
        groups.setdefault(tuple(line[name] for name in names), []).append(line)
    return sorted(groups.items())
