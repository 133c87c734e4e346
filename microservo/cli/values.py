"""Values on the command line: `key=value` pairs, targets, instants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import click

from microservo.domain.faults.units import format_duration, parse_duration
from microservo.domain.watermarks import MOST_DELAY_US
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a fault shall hit."""

    service: str
    instances: tuple[str, ...]


class TargetType(click.ParamType):
    """`service=NAME[,instance=ID]...`."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        if isinstance(value, Target):
            return value
        services: list[str] = []
        instances: list[str] = []
        for part in str(value).split(","):
            key, separator, name = part.strip().partition("=")
            if not separator or not name or key not in ("service", "instance"):
                self.fail(f"{part!r} is no part of a target; write service=NAME[,instance=ID]", param, ctx)
            (services if key == "service" else instances).append(name)
        if len(services) != 1:
            self.fail(f"{value!r} names {len(services)} services; write exactly one service=NAME", param, ctx)
        return Target(service=services[0], instances=tuple(instances))


class InstantType(click.ParamType):
    """An instant: `now`, `-5m` or `+30s` from now, or ISO 8601 with a time zone, in UTC if it says `Z`."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if value == "now":
            return datetime.now(UTC)
        try:
            if str(value).startswith(("-", "+")):
                return _from_now(str(value))
            instant = datetime.fromisoformat(str(value))
        except (ValueError, OverflowError, InvalidInput):
            self.fail(f"{value!r} is no instant; write now, -5m or 2026-01-31T12:00:00Z", param, ctx)
        if instant.tzinfo is None:
            self.fail(f"{value!r} has no time zone; append Z for UTC", param, ctx)
        return instant


class StartType(InstantType):
    """`earliest`, `latest`, or an instant."""

    name = "earliest|latest|instant"

    def convert(  # type: ignore[override]
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | Literal["earliest", "latest"]:
        if value == "earliest":
            return "earliest"
        return "latest" if value == "latest" else super().convert(value, param, ctx)


class PlaceType(click.ParamType):
    """`LATITUDE,LONGITUDE` in degrees, as two numbers."""

    name = "place"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        latitude, _, longitude = str(value).partition(",")
        try:
            place = float(latitude), float(longitude)
        except ValueError:
            place = math.nan, math.nan
        if not (-90 <= place[0] <= 90 and -180 <= place[1] <= 180):
            self.fail(f"{value!r} is no place; write LATITUDE,LONGITUDE, for example 52.5,13.4", param, ctx)
        return place


class DurationType(click.ParamType):
    """A duration, as `90s` or `10m`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value)) / 1e6
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


class DelayType(click.ParamType):
    """`SERVICE=DURATION`, as a service and microseconds."""

    name = "delay"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        service, separator, duration = str(value).rpartition("=")
        if not separator or not service:
            self.fail(f"{value!r} is no delay of a service; write one like jshop=5s", param, ctx)
        try:
            delay_us = parse_duration(duration)
        except InvalidInput as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if delay_us > MOST_DELAY_US:
            most = format_duration(MOST_DELAY_US)
            self.fail(
                f"{value!r} is more than {most}, the longest that windows wait for a service", param, ctx
            )
        return service, delay_us


def _from_now(text: str) -> datetime:
    distance = timedelta(microseconds=parse_duration(text[1:]))
    return datetime.now(UTC) + (distance if text.startswith("+") else -distance)


def parameters_of(
    pairs: Sequence[str], option: str = "--param", example: str = "latency=300ms"
) -> dict[str, str]:
    """The parameters of `key=value` pairs; a usage error where one isn't, or a key comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            msg = f"{option} {pair!r} is no pair; write NAME=VALUE, for example {example}"
            raise click.UsageError(msg)
        if key in found:
            msg = f"{option} {key} was given twice; give it once"
            raise click.UsageError(msg)
        found[key] = value
    return found
