"""What was asked for, what was measured of it, and how sure that is: as values, as JSON and as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from benchmarks.truth.shares import Share

Holds = Literal["yes", "likely", "unlikely", "no", "not measured"]
_Z = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One value that was asked for.

    Attributes:
        asked: name of what was asked for.
        of: what it was measured on.
        count: how many of how many, in words.
        value: None where nothing could be measured.
        low: the true value lies above it with a confidence of 95 % on both sides; likewise `high`.
        bound: that was asked for, in the unit of the value.
        at_most: whether the value may not be larger; else not smaller.
    """

    asked: str
    of: str
    count: str
    value: float | None
    low: float
    high: float
    unit: str
    bound: float
    at_most: bool

    @property
    def holds(self) -> Holds:
        """Whether it is as asked for: surely where the whole interval is."""
        if self.value is None:
            return "not measured"
        sign = 1 if self.at_most else -1
        worst, best = (self.high, self.low) if self.at_most else (self.low, self.high)
        if sign * self.value <= sign * self.bound:
            return "yes" if sign * worst <= sign * self.bound else "likely"
        return "unlikely" if sign * best <= sign * self.bound else "no"


def share_claim(asked: str, of: str, share: Share, percent: float, *, at_most: bool) -> Claim:
    """A claim about a share; its interval is Wilson's."""
    low, high = share.interval
    return Claim(
        asked=asked,
        of=of,
        count=f"{share.count} of {share.total}",
        value=None if share.value is None else 100 * share.value,
        low=100 * low,
        high=100 * high,
        unit="%",
        bound=percent,
        at_most=at_most,
    )


def quantile_claim(asked: str, of: str, values: Sequence[float], share: float, bound: float) -> Claim:
    """A claim about a quantile in milliseconds; its interval is that of the ranks, of no distribution."""
    ranked, count = sorted(values), len(values)
    if not ranked:
        low = value = high = None
    else:
        half = _Z * math.sqrt(count * share * (1 - share))
        ranks = (count * share - half, count * share, count * share + half)
        low, value, high = (ranked[min(max(math.ceil(rank) - 1, 0), count - 1)] for rank in ranks)
    return Claim(
        asked=asked,
        of=of,
        count=f"{count} effects",
        value=value,
        low=0.0 if low is None else low,
        high=math.inf if high is None else high,
        unit="ms",
        bound=bound,
        at_most=True,
    )


def show(claims: Sequence[Claim], console: Console, title: str) -> None:
    """Prints a table for each thing that was asked for."""
    for asked, group in _by_asked(claims):
        table = Table(title=f"{title}: {asked}", title_justify="left")
        for heading, justify in zip(_HEADINGS, _JUSTIFIED, strict=True):
            table.add_column(heading, justify=justify)
        for claim in group:
            table.add_row(*_cells(claim))
        console.print(table)


def write(
    claims: Sequence[Claim],
    sentences: Mapping[str, str],
    facts: Sequence[str],
    folder: Path,
    *,
    name: str,
    title: str,
    command: str,
) -> None:
    """Writes `<name>.json` and `<name>.md`.

    Args:
        claims: those about the same thing one after another.
        sentences: what was asked for in words, by its name.
        facts: of machine and measurement, one a line.
        folder: where to, made when needed.
        name: of both files.
        title: of the page.
        command: what measures it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{**asdict(each), "holds": each.holds} for each in claims]
    (folder / f"{name}.json").write_text(json.dumps(listed, indent=2) + "\n", "utf-8")
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), "", *_LEGEND, ""]
    for asked, group in _by_asked(claims):
        lines += [f"## {asked[:1].upper()}{asked[1:]}", "", sentences[asked], ""]
        lines += [f"| {' | '.join(_HEADINGS)} |", "|---|---:|---:|---:|---:|---|"]
        lines += [f"| {' | '.join(_cells(each))} |" for each in group]
        lines.append("")
    lines += [f"Measured by `{command}`.", ""]
    (folder / f"{name}.md").write_text("\n".join(lines), "utf-8")


_HEADINGS = ("of", "count", "value", "95 % interval", "asked for", "holds")
_JUSTIFIED: tuple[Literal["left", "right"], ...] = ("left", "right", "right", "right", "right", "left")
_LEGEND = (
    "*Holds*: yes, the whole interval is as asked for; likely, the value is, and the interval reaches "
    "beyond; unlikely, the value is not, but the interval reaches there; no, all of it lies beyond.",
)


def _by_asked(claims: Sequence[Claim]) -> list[tuple[str, list[Claim]]]:
    return [(asked, list(group)) for asked, group in groupby(claims, lambda claim: claim.asked)]


def _cells(claim: Claim) -> tuple[str, ...]:
    unit, sign = f" {claim.unit}", "≤" if claim.at_most else "≥"
    value = "not measured" if claim.value is None else f"{claim.value:.3g}{unit}"
    interval = "" if claim.value is None else f"{claim.low:.3g} to {claim.high:.3g}{unit}"
    return claim.of, claim.count, value, interval, f"{sign} {claim.bound:g}{unit}", claim.holds
