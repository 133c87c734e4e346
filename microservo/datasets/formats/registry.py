"""Which module exports which format; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from microservo.datasets.formats.format import Format
from microservo.domain.datasets.formats import FORMATS
from microservo.errors import InvalidInput


def format_named(name: str) -> Format:
    """The exporter of a format.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name not in FORMATS:
        msg = f"no format is called {name!r}; choose one of {sorted(FORMATS)}"
        raise InvalidInput(msg)
    module = import_module(f"microservo.datasets.formats.{name.replace('-', '_')}")
    return cast("Format", module.FORMAT)
