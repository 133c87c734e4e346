"""Numbers as Chaos Mesh wants them: as text."""

from __future__ import annotations

from microservo.errors import InvalidInput


def percent(ratio: float) -> str:
    """A share as percent, for fields that are text.

    Example:
        >>> percent(0.305)
        '30.5'
    """
    return f"{100 * ratio:.10g}"


def whole_percent(ratio: float) -> int:
    """A share as whole percent.

    Raises:
        InvalidInput: it is none.

    Example:
        >>> whole_percent(0.3)
        30
    """
    return _whole(
        100 * ratio, f"the ratio {100 * ratio:.10g}% is no whole percent, and Chaos Mesh takes no other"
    )


def milliseconds(duration_us: int) -> int:
    """A duration in whole milliseconds.

    Raises:
        InvalidInput: it is finer.
    """
    return _whole(
        duration_us / 1000, f"{duration_us} us are no whole milliseconds, and Chaos Mesh takes no others here"
    )


def microseconds(duration_us: int) -> str:
    """A duration in the one spelling that all versions take: a number and a unit.

    Example:
        >>> microseconds(1500)
        '1500us'
    """
    return f"{duration_us}us"


def _whole(number: float, problem: str) -> int:
    found = round(number)
    if abs(number - found) > 1e-9:
        raise InvalidInput(problem)
    return found
