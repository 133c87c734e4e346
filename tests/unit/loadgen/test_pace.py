from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from microservo.domain.topology import Journey, Step
from microservo.errors import InvalidInput
from services.loadgen.pace import Pace
from services.loadgen.schedule import Arrival
from services.loadgen.service import drive
from services.loadgen.tally import Tally

DEADLINE_S = 30.0


def steady(time_s: float) -> float:
    return 1.0


JOURNEY = Journey(name="visit", weight=1, steps=(Step(endpoint="Page"),))


def test_a_rate_of_zero_waits_until_it_is_raised() -> None:
    async def raised() -> None:
        pace = Pace(0, steady)
        waiting = asyncio.create_task(pace.wait(1.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        pace.change(1000)
        await asyncio.wait_for(waiting, DEADLINE_S)

    asyncio.run(raised())


def test_a_wait_under_way_is_shortened_when_the_rate_rises() -> None:
    async def shortened() -> None:
        pace = Pace(0.001, steady)
        waiting = asyncio.create_task(pace.wait(1.0))
        await asyncio.sleep(0)
        pace.change(100)
        await asyncio.wait_for(waiting, DEADLINE_S)
        assert pace.rate == 100

    asyncio.run(shortened())


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), 1e-9, 1e9])
def test_a_rate_out_of_bounds_is_refused_and_the_old_one_stays(rate: float) -> None:
    async def refused() -> None:
        pace = Pace(3, steady)
        with pytest.raises(InvalidInput, match="out of bounds"):
            pace.change(rate)
        assert pace.rate == 3

    asyncio.run(refused())


class HungSystem:
    """A journey that never ends, in place of the real one."""

    def __init__(self, enough: int) -> None:
        self.started = 0
        self._enough = enough
        self.full = asyncio.Event()

    async def __call__(self, arrival: Arrival) -> None:
        self.started += 1
        if self.started == self._enough:
            self.full.set()
        await asyncio.Event().wait()


def test_users_keep_coming_when_the_system_hangs_and_the_surplus_is_shed() -> None:
    async def hang() -> None:
        tally, hung = Tally(), HungSystem(enough=3)
        coming = [Arrival(number=0, gap=0.1, journey=JOURNEY, user="user-1", pace=1.0, trace_ids=(1,))] * 20
        driving = asyncio.create_task(drive(iter(coming), Pace(10_000, steady), hung, tally, max_active=3))
        await asyncio.wait_for(hung.full.wait(), DEADLINE_S)
        while tally.shed < 17:
            await asyncio.wait_for(asyncio.sleep(0), DEADLINE_S)
        assert (tally.journeys, tally.active, hung.started) == (3, 3, 3)
        driving.cancel()
        await asyncio.wait({driving})
        assert tally.active == 0

    asyncio.run(hang())


def test_journeys_that_end_make_room() -> None:
    async def flow() -> Tally:
        async def ended(arrival: Arrival) -> None:
            return None

        tally = Tally()
        arrival = Arrival(number=0, gap=1.0, journey=JOURNEY, user="user-1", pace=1.0, trace_ids=(1,))
        coming = itertools.repeat(arrival, 50)
        await asyncio.wait_for(drive(coming, Pace(1000, steady), ended, tally, max_active=64), DEADLINE_S)
        return tally

    tally = asyncio.run(flow())
    assert (tally.journeys, tally.active, tally.shed) == (50, 0, 0)


def test_what_was_missed_while_the_process_stood_still_does_not_come_all_at_once() -> None:
    async def stall() -> Tally:
        async def ended(arrival: Arrival) -> None:
            return None

        tally, pace = Tally(), Pace(100, steady)
        arrival = Arrival(number=0, gap=1.0, journey=JOURNEY, user="user-1", pace=1.0, trace_ids=(1,))
        # Nothing else runs meanwhile, as if the process had got no processor time.
        time.sleep(2.0)
        coming = itertools.repeat(arrival, 250)
        await asyncio.wait_for(drive(coming, pace, ended, tally, max_active=1000), DEADLINE_S)
        return tally

    tally = asyncio.run(stall())
    assert tally.journeys + tally.shed == 250
    assert tally.shed >= 99, "all that were due more than a second ago"
    assert tally.journeys >= 50, "all that were due later"


def test_the_instants_follow_the_curve_and_are_the_same_each_time() -> None:
    async def waits() -> list[float]:
        begin_s = asyncio.get_running_loop().time()
        pace = Pace(1000, lambda time_s: 1.0 if time_s < 0.1 else 0.5)
        came: list[float] = []
        for _ in range(150):
            await pace.wait(1.0)
            came.append(asyncio.get_running_loop().time() - begin_s)
        return came

    came = asyncio.run(waits())
    # The hundred of the first tenth of a second, then fifty at half the rate.
    assert came[-1] >= 0.199
    assert came[99] >= 0.099
