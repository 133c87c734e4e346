"""Which importer reads which format, and which one a folder is of."""

from __future__ import annotations

from pathlib import Path

from microservo.datasets.imports import nab, nezha, otlp_json, rcaeval
from microservo.datasets.imports.importer import Importer
from microservo.errors import InvalidInput

IMPORTERS: dict[str, Importer] = {
    each.name: each for each in (nezha.IMPORTER, rcaeval.IMPORTER, nab.IMPORTER, otlp_json.IMPORTER)
}
AUTO = "auto"


def importer_of(folder: Path, name: str) -> Importer:
    """The importer of a name, or with `auto` the one that recognises the folder.

    Raises:
        InvalidInput: there is none, the path is no folder, or a link in it leads out of it.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder, and no archive with one; name one of them"
        raise InvalidInput(msg)
    root = folder.resolve()
    for each in folder.rglob("*"):
        if each.is_symlink() and not each.resolve().is_relative_to(root):
            msg = f"{each} is a link that leads out of {folder}; put a copy in its place"
            raise InvalidInput(msg)
    if name == AUTO:
        found = next((each for each in IMPORTERS.values() if each.recognises(folder)), None)
        if found is not None:
            return found
        msg = f"{folder} looks like none of {', '.join(IMPORTERS)}; name its format with --format"
        raise InvalidInput(msg)
    if name not in IMPORTERS:
        msg = f"no format {name!r} can be imported; choose one of {', '.join((AUTO, *IMPORTERS))}"
        raise InvalidInput(msg)
    return IMPORTERS[name]
