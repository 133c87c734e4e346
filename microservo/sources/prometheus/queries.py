"""Which queries are asked: the shipped ones of the groups that are wanted, and the user's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from microservo.errors import InvalidInput
from microservo.sources.prometheus.settings import Of, PrometheusSettings, Query

_WINDOW_SCRAPES = 4
"""A rate needs two samples; with four scrapes one may be missing, and one be late."""
_FRESH_SCRAPES = 2
_NAME = re.compile(r'^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)|__name__="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """PromQL that is evaluated at each step; its values are those of a series at that instant."""

    name: str
    expr: str
    of: Of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A selector whose samples are read as they were scraped.

    Attributes:
        name: empty where each series has that of its metric.
        is_counter: None where that has to be asked.
        raw: whether a counter's value goes on beside its rate.
    """

    name: str
    selector: str
    is_counter: bool | None
    raw: bool
    of: Of


Asked = Evaluated | Sampled


class _QueryFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    query: tuple[Query, ...]


def queries_of(settings: PrometheusSettings) -> tuple[Asked, ...]:
    """All queries of a source, the shipped ones first.

    Raises:
        InvalidInput: the user's file can't be read.
    """
    shipped = tomllib.loads(files(__package__).joinpath("kpis.toml").read_text("utf-8"))
    found = [query for group in settings.kpis for query in _parsed(shipped[group], "kpis.toml")]
    if settings.queries is not None:
        found += _parsed(_read(settings.queries), str(settings.queries))
    return tuple(
        asked for query in (*found, *settings.query) for asked in _compiled(query, settings.scrape_s)
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"queries of {path} can't be read: {error}; give a TOML file with [[query]] tables"
        raise InvalidInput(msg) from error


def _parsed(document: Mapping[str, Any], where: str) -> tuple[Query, ...]:
    try:
        return _QueryFile.model_validate(document).query
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        msg = f"queries of {where} can't be used: {place}: {first['msg']}"
        raise InvalidInput(msg) from error


def _compiled(query: Query, scrape_s: int) -> Iterator[Asked]:
    window, fresh = f"{_WINDOW_SCRAPES * scrape_s}s", f"{_FRESH_SCRAPES * scrape_s}"
    if query.match:
        is_counter = None if query.type == "auto" else query.type == "counter"
        yield Sampled(
            name=query.name, selector=query.match, is_counter=is_counter, raw=query.raw, of=query.of
        )
        return
    if query.expr:
        expr = query.expr.replace("$window", window).replace("$fresh", fresh)
        yield Evaluated(name=query.name, expr=expr, of=query.of)
        return
    name, by = query.name or _name_of(query.metric), ", ".join(query.by)
    if query.type == "counter":
        rate = f"sum by ({by}) (rate({query.metric}[{window}]))"
        yield Evaluated(name=f"{name}.rate", expr=rate, of=query.of)
    if query.type == "gauge" or query.raw:
        # An exporter with times of its own leaves no marker behind what has ended: for five minutes it would
        # look alive.
        level = f"sum by ({by}) ({query.metric} and (time() - timestamp({query.metric}) < {fresh}))"
        yield Evaluated(name=name, expr=level, of=query.of)


def _name_of(selector: str) -> str:
    found = _NAME.search(selector)
    if found is None:
        msg = f"metric {selector[:80]!r} has no name; add name = ..."
        raise InvalidInput(msg)
    return found[1] or found[2]
