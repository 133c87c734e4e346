"""How many calls may be made again.

A callee that fails because it is asked for too much must not be asked for more. With a budget, retries add a
tenth to the load at most, whatever share of the calls fails.

Source: the retry budgets of Finagle and Linkerd.
"""

from __future__ import annotations

_PER_CALL = 0.1
_MOST = 10.0


class RetryBudget:
    """Of the calls of one callee: a bucket that each call adds to, and each retry takes one from."""

    def __init__(self) -> None:
        self._left = _MOST

    def earn(self) -> None:
        """A call is made for the first time."""
        self._left = min(_MOST, self._left + _PER_CALL)

    def spend(self) -> bool:
        """Whether one may be made again; if so, it counts as made."""
        # The sum of ten tenths is a little less than one.
        if self._left < 1.0 - _PER_CALL / 2:
            return False
        self._left -= 1.0
        return True
