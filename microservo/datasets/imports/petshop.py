"""PetShop (Hardt and others, 2024): averages of five minutes, a folder without an issue and one per issue.

A scenario has `graph.csv` (who calls whom) and folders with `metrics.csv`: `noissue`, `train/issue_<n>` and
`test/issue_<n>`. Its normal days were recorded months after its issues, and those one after the other within
hours, each with a row before: so each folder is a recording of its own.

`metrics.csv` has three rows of header (node, metric, statistic) and a fourth that names the index, which
is no data. Times are epoch seconds. `target.json` names the node with the root cause and when which metric
of the target was seen to suffer; neither what was injected, nor for how long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from microservo.datasets.imports.columns import Points
from microservo.datasets.imports.csv_rows import Clock, CsvFile
from microservo.datasets.imports.importer import Foreign, ForeignCall, ForeignFault, Notes, Part
from microservo.datasets.imports.json_file import read_json
from microservo.errors import InvalidInput

_METRICS, _LABEL, _GRAPH, _NORMAL = "metrics.csv", "target.json", "graph.csv", "noissue"
_SPLITS = ("train", "test")
_HEADER = ("microservice", "metric", "statistic")
_INDEX = "unix_timestamp"
_S = 1_000_000
_STEP_US = 300 * _S
"""Of all rows: what happens in them is known to that."""


class PetShop:
    """PetShop."""

    name: ClassVar[str] = "petshop"

    def recognises(self, folder: Path) -> bool:
        """Whether some `metrics.csv` begins as its files do."""
        first = next((each for each in folder.rglob(_METRICS) if each.is_file()), None)
        if first is None:
            return False
        with first.open("rb") as file:
            return file.read(len(_HEADER[0]) + 1) == _HEADER[0].encode() + b","

    def parts(self, folder: Path) -> Sequence[Part]:
        """Each folder with metrics: `noissue`, and those of issues."""
        places = sorted(each.parent.resolve() for each in folder.rglob(_METRICS))
        if not places:
            msg = f"{folder} holds no {_METRICS}; expected <scenario>/noissue/ and <scenario>/test/issue_0/"
            raise InvalidInput(msg)
        return [
            Part(
                name=each.relative_to(_scenario(each).parent).as_posix(),
                folders=(each,),
                is_fault_free=each.name == _NORMAL,
            )
            for each in places
        ]

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """The metrics, the fault and the graph of one folder."""
        (place,) = part.folders
        nodes: set[str] = set()
        yield from _metrics(place / _METRICS, f"{part.name}/{_METRICS}", nodes, notes)
        if not part.is_fault_free:
            yield _fault(place / _LABEL, f"{part.name}/{_LABEL}", nodes, notes)
        graph = _scenario(place) / _GRAPH
        if graph.is_file():
            yield from _calls(graph, f"{graph.parent.name}/{_GRAPH}", notes)
        else:
            notes.note(f"there is no {_GRAPH}, so it is not known who calls whom")


IMPORTER = PetShop()


def _scenario(place: Path) -> Path:
    """The folder of the scenario that a folder with metrics is of."""
    return place.parent.parent if place.parent.name in _SPLITS else place.parent


def _metrics(path: Path, name: str, nodes: set[str], notes: Notes) -> Iterator[Foreign]:
    rows = CsvFile(path, name, notes)
    columns = _columns(rows)
    nodes.update(node for node, _ in columns)
    titles = (_INDEX, *(" ".join(each) for each in columns))
    clock, unseen = Clock(name, notes), set(titles[1:])
    found: dict[str, Points] = {}
    for values in rows.values:
        rows.refuse_other_width(values, titles)
        time_us = rows.instant_us(_INDEX, values[0], "s")
        clock.tick(time_us)
        for (node, metric), title, text in zip(columns, titles[1:], values[1:], strict=True):
            if text:
                unseen.discard(title)
                own = found.setdefault(node, Points(node))
                own.add(time_us, metric, rows.number(title, text))
                if own.is_full:
                    yield found.pop(node).rows()
    yield from (each.rows() for each in found.values() if each.times)
    clock.note_gaps()
    if unseen:
        notes.note(f"{name}: a column has no value in the whole file, first {min(unseen)}", len(unseen))
    notes.note(
        "PetShop has a value each five minutes, so most windows are empty, and effects are known to that only"
    )


def _columns(rows: CsvFile) -> list[tuple[str, str]]:
    """The node and the metric of each column, from the rows above the data."""
    heads: list[tuple[str, ...]] = []
    for title in _HEADER:
        values = next(rows.values, ("",))
        if values[0] != title:
            rows.refuse(
                f"it begins with {values[0][:40]!r}; expected {title!r} in row {len(heads) + 1} of it"
            )
        if heads:
            rows.refuse_other_width(values, heads[0])
        heads.append(values)
    below = next(rows.values, ("",))
    if below[0] != _INDEX or any(below[1:]):
        rows.refuse(f"it begins with {below[0][:40]!r}; expected {_INDEX!r} and nothing else")
    rows.refuse_other_width(below, heads[0])
    found = [(node, f"{metric}_{statistic}") for node, metric, statistic in zip(*heads, strict=True)][1:]
    column, times = Counter(found).most_common(1)[0] if found else (("", ""), 0)
    if times > 1:
        rows.refuse(f"column {' '.join(column)} is there {times} times")
    return found


def _fault(path: Path, name: str, nodes: set[str], notes: Notes) -> ForeignFault:
    document = read_json(path, name)
    target, cause = (_object(document, each) for each in ("target", "root_cause"))
    at_s, node, metric = target.get("timestamp"), cause.get("node"), target.get("metric")
    if not isinstance(at_s, int) or not isinstance(node, str) or not isinstance(metric, str) or not node:
        msg = f"{name}, row 1: expected target.timestamp (s), target.metric and root_cause.node"
        raise InvalidInput(msg)
    if node not in nodes:
        notes.note(f"{name} names {node}, of which there are no metrics")
    notes.note(
        f"{name} says what suffered ({metric} of {target.get('node')}), and not what was injected or how long"
    )
    return ForeignFault(kind=metric, service=node, start_us=at_s * _S, within_us=_STEP_US, said_in=name)


def _object(document: Any, key: str) -> dict[str, Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _calls(path: Path, name: str, notes: Notes) -> Iterator[ForeignCall]:
    """Row calls column, where there is a number other than 0."""
    rows = CsvFile(path, name, notes)
    columns = next(rows.values, ())
    for values in rows.values:
        rows.refuse_other_width(values, columns)
        for callee, text in zip(columns[1:], values[1:], strict=True):
            if rows.number(callee, text) > 0:
                yield ForeignCall(caller=values[0], callee=callee)
