"""Tails of the distributions of Student and Poisson."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

_TERMS = 200
_PRECISION = 1e-12
_TINY = 1e-300


def upper_tail(t: float, degrees: float) -> float:
    """The probability that a t-distributed value is at least `t`.

    Args:
        t: any number.
        degrees: degrees of freedom, more than 0.

    Returns:
        A probability, right to about nine digits also far out.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1 and 26.5.8.

    Example:
        >>> round(upper_tail(2.228, 10), 4)
        0.025
    """
    half = 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))
    return half if t > 0 else 1 - half


def poisson_tail(count: int, expected: float, *, lower: bool) -> float:
    """The probability that a count is `count` or further away, where `expected` are to be expected.

    Args:
        count: 0 or more.
        expected: more than 0.
        lower: whether fewer are further away; else more.

    Example:
        >>> round(poisson_tail(2, 14.5, lower=True), 6)
        6.1e-05
    """
    if lower != (count < expected):
        return 1.0
    term = exp(count * log(expected) - expected - lgamma(count + 1))
    total, number = 0.0, count
    while term > total * _PRECISION:
        total += term
        term *= number / expected if lower else expected / (number + 1)
        number += -1 if lower else 1
    return min(total, 1.0)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    # The continued fraction converges fast on one side only.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by the method of Lentz."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _off_zero(1 + even * d)
        c = _off_zero(1 + even / c)
        found *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _off_zero(1 + odd * d)
        c = _off_zero(1 + odd / c)
        found *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return found


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
