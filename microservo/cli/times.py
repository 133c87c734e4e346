"""Instants and spans for people's eyes."""

from __future__ import annotations

from datetime import UTC, datetime


def clock_time(time_us: int) -> str:
    """Time of day in UTC with milliseconds, for example 12:00:05.250."""
    return _utc(time_us).strftime("%H:%M:%S.%f")[:-3]


def date_time(time_us: int) -> str:
    """Date and time of day in UTC, for example 2026-01-31 12:00:05Z."""
    return _utc(time_us).strftime("%Y-%m-%d %H:%M:%SZ")


def after(time_us: int | None, origin_us: int) -> str:
    """How long after `origin_us` something was, for example +1.25 s; a dash if it has not been."""
    return "-" if time_us is None else f"+{(time_us - origin_us) / 1e6:.2f} s"


def _utc(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC)
