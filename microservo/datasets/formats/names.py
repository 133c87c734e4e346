"""Names that a format forbids, mapped to those that are written for them, and back by `names.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from microservo.datasets.arrays import array_of
from microservo.errors import InvalidInput

NAME_COLUMNS = ("what", "name", "written_as")
_LARGEST_BYTES = 16 << 20
_LONGEST = 80
"""Characters of a name that goes into the name of a file: file systems take 255 bytes for all of it."""


class Names:
    """Maps of names, each by what it is of: services, metrics, templates."""

    def __init__(self) -> None:
        self._maps: dict[str, dict[str, str]] = {}

    def map(
        self,
        what: str,
        names: Iterable[str],
        rule: Callable[[str], str],
        fixed: Mapping[str, str] | None = None,
        *,
        reserved: Iterable[str] = (),
    ) -> Mapping[str, str]:
        """What is written for each of some names; no two of them alike, whatever their case.

        Args:
            what: what they are the names of, for the file.
            names: in any order, as often as they come.
            rule: gives a name that the format takes, the same one for a name that it takes already.
            fixed: names that the format has words of its own for.
            reserved: what is written for something else, so that no name may become it.
        """
        distinct = sorted(set(names))
        found = {name: written for name, written in (fixed or {}).items() if name in distinct}
        taken = {written.casefold() for written in (*found.values(), *reserved)}
        # Who needs no change keeps its name, whoever comes first.
        for name in sorted(distinct, key=lambda each: (rule(each) != each, each)):
            if name not in found:
                found[name] = _free(rule(name), taken)
                taken.add(found[name].casefold())
        self._maps[what] = {name: found[name] for name in distinct}
        return self._maps[what]

    def table(self) -> pa.Table:
        """All of them: what it is, the name, and what was written."""
        rows = [(what, *pair) for what, each in sorted(self._maps.items()) for pair in each.items()]
        columns = [array_of([row[place] for row in rows], pa.string()) for place in range(len(NAME_COLUMNS))]
        return pa.table(dict(zip(NAME_COLUMNS, columns, strict=True)))


def read_names(path: Path) -> dict[str, dict[str, str]]:
    """The names behind those that were written, by what they are of, from a `names.csv`.

    Raises:
        InvalidInput: it can't be read, is far larger than any, or has other columns.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
        if len(raw) > _LARGEST_BYTES:
            msg = f"{path} is larger than {_LARGEST_BYTES} bytes; export the dataset again"
            raise InvalidInput(msg)
        reader = csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True)
        columns = tuple(next(reader, ()))
        if columns != NAME_COLUMNS:
            msg = f"{path}, row 1: columns {list(columns)}, expected {list(NAME_COLUMNS)}"
            raise InvalidInput(msg)
        for row in reader:
            if len(row) != len(NAME_COLUMNS):
                msg = f"{path}, row {reader.line_num}: {len(row)} values, expected {len(NAME_COLUMNS)}"
                raise InvalidInput(msg)
            what, name, written_as = row
            found.setdefault(what, {})[written_as] = name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path} can't be read ({error}); export the dataset again"
        raise InvalidInput(msg) from error
    return found


def file_name(name: str, *, extra: str = "") -> str:
    """A name that may stand in the name of a file, with hyphens for what may not.

    Args:
        name: any text.
        extra: characters that may stay, beside letters, digits and hyphens of ASCII.

    Example:
        >>> file_name("../cart_service")
        'cart-service'
    """
    kept = "".join(each if each.isascii() and (each.isalnum() or each in extra) else "-" for each in name)
    return kept.strip("-.")[:_LONGEST].strip("-.") or "unnamed"


def _free(wanted: str, taken: set[str]) -> str:
    """The name, or the first one with a number behind it that nobody has."""
    number, name = 2, wanted
    while name.casefold() in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name
