"""What was measured, as values, as JSON and as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure against a peer measured in the same run; None where it could not be measured.

    Attributes:
        ratio: value / peer_value.
        command: what measures it again.
    """

    name: str
    value: float | None
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None
    command: str


def figure(
    name: str, value: float | None, unit: str, *, peer: str, peer_value: float | None, command: str
) -> Figure:
    """A figure with its ratio, all rounded to four digits."""
    known = value is not None and peer_value
    ratio = value / peer_value if value is not None and known and peer_value else None
    return Figure(
        name=name,
        value=_rounded(value),
        unit=unit,
        peer=peer,
        peer_value=_rounded(peer_value),
        ratio=_rounded(ratio),
        command=command,
    )


def write(
    figures: Sequence[Figure],
    facts: Sequence[str],
    folder: Path,
    *,
    name: str = "latest",
    title: str = "Latest benchmark",
) -> None:
    """Writes `<name>.json`, and `<name>.md` with the machine and the versions."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [asdict(each) for each in figures]
    (folder / f"{name}.json").write_text(json.dumps(listed, indent=2) + "\n", "utf-8")
    lines = [f"# {title}", "", *(f"- {fact}" for fact in facts), ""]
    lines += ["| figure | value | against | its value | ratio |", "|---|---:|---|---:|---:|"]
    lines += [f"| {' | '.join(_cells(each))} |" for each in figures]
    commands = sorted({each.command for each in figures})
    lines += ["", "Measured by " + ", ".join(f"`{command}`" for command in commands) + ".", ""]
    (folder / f"{name}.md").write_text("\n".join(lines), "utf-8")


def replace_in(folder: Path, figures: Sequence[Figure], fact: str) -> None:
    """Puts figures in the place of written ones of the same names, and adds what to know of them."""
    measured = {each.name: each for each in figures}
    before = [Figure(**each) for each in json.loads((folder / "latest.json").read_text("utf-8"))]
    lines = (folder / "latest.md").read_text("utf-8").splitlines()
    facts = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    about = fact.partition(":")[0]
    kept = [each for each in facts if not each.startswith(about)]
    write([measured.get(each.name, each) for each in before], [*kept, fact], folder)


def show(
    figures: Sequence[Figure], console: Console, title: str = "MicroServo against peers, one run"
) -> None:
    """Prints the table."""
    table = Table(title=title)
    for heading, justify in (("figure", "left"), ("value", "right"), ("against", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("its value", justify="right")
    table.add_column("ratio", justify="right")
    for each in figures:
        table.add_row(*_cells(each))
    console.print(table)


def _cells(each: Figure) -> tuple[str, str, str, str, str]:
    ratio = "" if each.ratio is None else f"{each.ratio:,.2f}"
    return each.name, _text(each.value, each.unit), each.peer, _text(each.peer_value, each.unit), ratio


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return UNAVAILABLE
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:,.3g} {unit}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
