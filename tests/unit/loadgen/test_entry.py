"""Users of a target whose services come one after another begin once there is an entry to come to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from microservo.domain.topology import Journey, Step
from microservo.platforms.local.peers import FollowedPeers, write_peers
from microservo.testing import ManualClock
from services.loadgen.pace import Pace
from services.loadgen.schedule import Arrival, arrivals
from services.loadgen.service import drive_once
from services.loadgen.tally import Tally

RATE = 50.0


def coming() -> Iterator[Arrival]:
    journey = Journey(name="buy", weight=1, steps=(Step(endpoint="Product"),))
    return islice(arrivals((journey,), 7), 5)


class Entry:
    """An entry that is there from the third look on, a minute after the pace was made.

    Args:
        path: of the peers file.
        pace: of the users.
    """

    def __init__(self, path: Path, pace: Pace) -> None:
        self.looks = 0
        self._path = path
        self._pace = pace
        self._clock = ManualClock(0)
        write_peers(path, {"back": ["http://127.0.0.1:1"]})
        self._peers = FollowedPeers(path, now_s=lambda: self._clock() / 1e6)

    def is_there(self) -> bool:
        self.looks += 1
        if self.looks == 3:
            # What would have come in that time is long overdue.
            self._pace._due_s -= 60
            write_peers(self._path, {"front": ["http://127.0.0.1:2"]})
            self._clock.advance(1_000_000)
        return self._peers.has("front")


def test_users_begin_with_the_first_instance_of_the_entry_and_none_is_made_up_for(tmp_path: Path) -> None:
    tally = Tally()

    async def handler(_: Arrival) -> None: ...

    async def run() -> int:
        pace = Pace(RATE, lambda _: 1.0)
        entry = Entry(tmp_path / "peers.json", pace)
        await asyncio.wait_for(drive_once(entry.is_there, coming(), pace, handler, tally, max_active=9), 60)
        return entry.looks

    assert asyncio.run(run()) == 3
    assert (tally.journeys, tally.shed) == (5, 0)
