"""Who sends, and how: some come again as soon as they are answered, others on an interval of their own."""

from __future__ import annotations

_AT_ONCE_S = 0.1
"""Who sends so soon after an answer had more to send all the time."""
_EAGER_S = 0.2
_KNOWN_S = 1.0


class Senders:
    """The senders of the last second; not for several threads at once.

    A sender that waits for each answer and has more to send is *eager*: it comes again in a moment, so it is
    worth waiting for, and all that it has waits for us. Of one that sends on an interval neither is true.
    """

    def __init__(self) -> None:
        self._seen_s: dict[str, float] = {}
        self._answered_s: dict[str, float] = {}
        self._eager_s: dict[str, float] = {}

    @property
    def known(self) -> int:
        """How many there were in the last second."""
        return len(self._seen_s)

    @property
    def eager(self) -> int:
        """How many will come again as soon as they are answered."""
        return len(self._eager_s)

    def note_parcel(self, sender: str, now_s: float) -> bool:
        """Takes note that one sent something; returns whether it is eager."""
        _put_last(self._seen_s, sender, now_s)
        is_eager = now_s - self._answered_s.get(sender, -_AT_ONCE_S) < _AT_ONCE_S
        if is_eager:
            _put_last(self._eager_s, sender, now_s)
        else:
            self._eager_s.pop(sender, None)
        return is_eager

    def note_answer(self, sender: str, now_s: float) -> None:
        """Takes note that one was answered."""
        _put_last(self._answered_s, sender, now_s)

    def forget_old(self, now_s: float) -> None:
        """Forgets those who have gone, or send no more."""
        _drop_before(self._seen_s, now_s - _KNOWN_S)
        _drop_before(self._answered_s, now_s - _KNOWN_S)
        _drop_before(self._eager_s, now_s - _EAGER_S)


def _put_last(times_s: dict[str, float], sender: str, now_s: float) -> None:
    # The oldest stands first, so that forgetting looks at no other.
    times_s.pop(sender, None)
    times_s[sender] = now_s


def _drop_before(times_s: dict[str, float], oldest_s: float) -> None:
    while times_s:
        first = next(iter(times_s))
        if times_s[first] >= oldest_s:
            return
        del times_s[first]
