"""Where every record went, counted so that nothing can be lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MINUTE_US = 60_000_000


class Account(NamedTuple):
    """What is counted together: one service's records of one source in one minute of event time."""

    run_id: str
    source: str
    service: str
    minute_us: int


@dataclass(slots=True)
class Counts:
    """Records of one account. `read` is counted on arrival, all others when their fate is sealed."""

    read: int = 0
    in_windows: int = 0
    late: int = 0
    duplicate: int = 0
    dropped: int = 0
    rejected: int = 0

    @property
    def open(self) -> int:
        """Records whose window is not final yet; negative only if the counts are wrong."""
        return self.read - self.in_windows - self.late - self.duplicate - self.dropped - self.rejected


class Ledger:
    """The accounts of one windower."""

    def __init__(self) -> None:
        # By plain tuples, which are made in a third of the time: counts are asked for with every message.
        self._accounts: dict[tuple[str, str, str, int], Counts] = {}
        self.rejected = 0
        """Records that were rejected so far, over all accounts that ever were."""

    def counts(self, run_id: str, source: str, service: str, time_us: int) -> Counts:
        """The counts of the account that an instant belongs to, to be added to."""
        account = (run_id, source, service, time_us - time_us % MINUTE_US)
        counts = self._accounts.get(account)
        if counts is None:
            counts = self._accounts[account] = Counts()
        return counts

    def reject(self, run_id: str, source: str, service: str, time_us: int, records: int) -> None:
        """Enters records that came and can't be used, under the instant of their stamp."""
        counts = self.counts(run_id, source, service, time_us)
        counts.read += records
        counts.rejected += records
        self.rejected += records

    def __iter__(self) -> Iterator[tuple[Account, Counts]]:
        return iter([(Account(*account), counts) for account, counts in sorted(self._accounts.items())])

    def settle(self, run_id: str, before_us: int) -> list[tuple[Account, Counts]]:
        """Removes and returns the accounts of a run's minutes that ended by `before_us`, in order."""
        done = [
            item for item in self if item[0].run_id == run_id and item[0].minute_us + MINUTE_US <= before_us
        ]
        for account, _ in done:
            del self._accounts[account]
        return done
