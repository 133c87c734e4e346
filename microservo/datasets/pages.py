"""Pages of HTML that need nothing but themselves: their templates, styles and scripts lie in this package.

Whatever comes from a run is text there, and nothing else: templates escape all that they are given but our
own scripts and styles, and show what can't be seen as an escape.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from microservo.domain.text import printable


@cache
def template(name: str) -> jinja2.Template:
    """A template of this package, by its path in it."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["instant"] = instant
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.from_string(own(name))


def own(name: str) -> Markup:
    """A file of this package, which goes into a page as it is."""
    return Markup(files(__package__ or "").joinpath(name).read_text("utf-8"))  # noqa: S704


def instant(time_us: int) -> str:
    """An instant for people, in UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _finalized(value: object) -> object:
    """Text from the run in one line, with all characters to be seen; our own markup as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
