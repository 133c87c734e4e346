"""Which importer reads which format, and which one a folder is of."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from microservo.datasets.imports.importer import Importer
from microservo.domain.datasets.import_formats import AUTO, IMPORT_FORMATS
from microservo.errors import InvalidInput


def importer_of(folder: Path, name: str) -> Importer:
    """The importer of a name, or with `auto` the one that recognises the folder.

    Raises:
        InvalidInput: there is none, the path is no folder, or it holds a device, or a link that leads out.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder, and no archive with one; name one of them"
        raise InvalidInput(msg)
    _refuse_odd_files(folder)
    if name != AUTO:
        return importer_named(name)
    found = next((each for each in map(importer_named, IMPORT_FORMATS) if each.recognises(folder)), None)
    if found is not None:
        return found
    msg = f"{folder} looks like none of {', '.join(IMPORT_FORMATS)}; name its format with --format"
    raise InvalidInput(msg)


def importer_named(name: str) -> Importer:
    """The importer of a format.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name not in IMPORT_FORMATS:
        msg = f"no format {name!r} can be imported; choose one of {', '.join((AUTO, *IMPORT_FORMATS))}"
        raise InvalidInput(msg)
    module = import_module(f"microservo.datasets.imports.{name.replace('-', '_')}")
    return cast("Importer", module.IMPORTER)


def _refuse_odd_files(folder: Path) -> None:
    """Refuses what is not of the folder, and what never ends when it is read."""
    root = folder.resolve()
    for each in folder.rglob("*"):
        if each.is_symlink():
            try:
                is_within = each.resolve(strict=True).is_relative_to(root)
            except (OSError, RuntimeError) as error:
                msg = f"{each} is a link that leads nowhere; remove it"
                raise InvalidInput(msg) from error
            if not is_within:
                msg = f"{each} is a link that leads out of {folder}; put a copy in its place"
                raise InvalidInput(msg)
        if not each.is_file() and not each.is_dir():
            msg = f"{each} is a device or a pipe, and no file; remove it"
            raise InvalidInput(msg)
