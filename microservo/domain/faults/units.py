"""Quantities as people write them, to canonical numbers and back: microseconds, bytes, bytes/s, shares.

Exact: what can't be said in whole canonical units is refused rather than rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from microservo.errors import InvalidInput

Value = int | float | str

_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*([^\d\s.]\S*)?\s*", re.ASCII)
_TEXT = re.compile(r"[A-Za-z0-9_./-]{0,64}", re.ASCII)
_MAX_LENGTH = 64

_DURATIONS: Mapping[str, int] = {
    "h": 3_600_000_000,
    "min": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_SIZES: Mapping[str, int] = {
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "B": 1,
}
_RATES: Mapping[str, Fraction] = {
    "Gbit/s": Fraction(125_000_000),
    "Mbit/s": Fraction(125_000),
    "kbit/s": Fraction(125),
    "bit/s": Fraction(1, 8),
    **{f"{name}/s": Fraction(size) for name, size in _SIZES.items()},
}
_SPELLINGS: Mapping[str, str] = {"m": "min", "µs": "us", "μs": "us", "sec": "s", "KB": "kB"}


def parse_duration(text: str) -> int:
    """Microseconds of a text such as "300ms", "1.5s", "2min".

    Raises:
        InvalidInput: no number, no unit or an unknown one, or finer than a microsecond.

    Example:
        >>> parse_duration("1.5s")
        1500000
    """
    return _whole(text, _DURATIONS, "a duration like 300ms, 1.5s or 2min", "microseconds")


def parse_size(text: str) -> int:
    """Bytes of a text such as "64MiB" or "1kB".

    Raises:
        InvalidInput: as for durations.

    Example:
        >>> parse_size("64MiB")
        67108864
    """
    return _whole(text, _SIZES, "a size like 64MiB or 500kB", "bytes")


def parse_rate(text: str) -> int:
    """Bytes per second of a text such as "1Mbit/s" or "64KiB/s".

    Raises:
        InvalidInput: as for durations.

    Example:
        >>> parse_rate("1Mbit/s")
        125000
    """
    return _whole(text, _RATES, "a rate like 1Mbit/s or 64KiB/s", "bytes per second")


def parse_ratio(text: str) -> float:
    """The share of a text such as "30%" or "0.3".

    Raises:
        InvalidInput: no number, or another unit than "%".

    Example:
        >>> parse_ratio("30%")
        0.3
    """
    number, unit = _split(text, "a share like 30% or 0.3")
    if unit not in ("", "%"):
        raise InvalidInput(_wrong(text, "a share like 30% or 0.3"))
    return float(number / 100 if unit else number)


def parse_count(text: str) -> int:
    """The whole number of a text.

    Raises:
        InvalidInput: it gives none.
    """
    number, unit = _split(text, "a whole number")
    if unit or number != int(number):
        raise InvalidInput(_wrong(text, "a whole number"))
    return int(number)


def parse_text(text: str) -> str:
    """The text itself.

    Raises:
        InvalidInput: longer than 64, or with other signs than letters, digits and "_./-".
    """
    if not _TEXT.fullmatch(text):
        raise InvalidInput(_wrong(text, "at most 64 letters, digits and the signs _./-"))
    return text


def format_duration(duration_us: int) -> str:
    """The shortest exact text of a duration, which `parse_duration` reads.

    Example:
        >>> format_duration(1_500_000)
        '1.5s'
    """
    return _format(duration_us, _DURATIONS)


def format_size(size_bytes: int) -> str:
    """The shortest exact text of a size, which `parse_size` reads."""
    return _format(size_bytes, _SIZES)


def format_rate(bytes_per_s: int) -> str:
    """The shortest exact text of a rate, which `parse_rate` reads."""
    return _format(bytes_per_s, _RATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A kind of quantity: how it is read, how it is written, and what its canonical number counts."""

    name: str
    canonical: str
    example: str
    parse: Callable[[str], Value]
    write: Callable[[Value], str]
    number: Callable[[str], Value]


DURATION = Unit(
    name="duration",
    canonical="microseconds",
    example="300ms",
    parse=parse_duration,
    write=lambda value: format_duration(int(value)),
    number=int,
)
SIZE = Unit(
    name="size",
    canonical="bytes",
    example="64MiB",
    parse=parse_size,
    write=lambda value: format_size(int(value)),
    number=int,
)
RATE = Unit(
    name="rate",
    canonical="bytes per second",
    example="1Mbit/s",
    parse=parse_rate,
    write=lambda value: format_rate(int(value)),
    number=int,
)
RATIO = Unit(name="share", canonical="ratio 0..1", example="30%", parse=parse_ratio, write=str, number=float)
COUNT = Unit(name="count", canonical="number", example="2", parse=parse_count, write=str, number=int)
TEXT = Unit(name="text", canonical="text", example="GetCart", parse=parse_text, write=str, number=str)


def _whole(text: str, units: Mapping[str, int] | Mapping[str, Fraction], expected: str, counted: str) -> int:
    number, unit = _split(text, expected)
    scale = units.get(_SPELLINGS.get(unit, unit))
    if scale is None:
        raise InvalidInput(_wrong(text, f"{expected} (units: {', '.join(units)})"))
    exact = Fraction(number) * scale
    if exact.denominator != 1:
        raise InvalidInput(_wrong(text, f"a whole number of {counted}"))
    return exact.numerator


def _split(text: str, expected: str) -> tuple[Decimal, str]:
    match = _QUANTITY.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise InvalidInput(_wrong(text, expected))
    return Decimal(match[1]), match[2] or ""


def _wrong(text: str, expected: str) -> str:
    return f"{text[:_MAX_LENGTH]!r} is not understood; expected {expected}"


def _format(number: int, units: Mapping[str, int] | Mapping[str, Fraction]) -> str:
    """Among the exact texts the shortest; of equal ones that with the largest unit."""
    texts = (_exact(Fraction(number) / scale, unit) for unit, scale in units.items())
    return min((text for text in texts if text), key=len)


def _exact(number: Fraction, unit: str) -> str | None:
    decimal = Decimal(number.numerator) / Decimal(number.denominator)
    text = f"{decimal:f}"
    return f"{text}{unit}" if Fraction(text) == number else None
