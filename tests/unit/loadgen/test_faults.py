"""More users, and fewer: what the rate is multiplied by, and nothing after."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine

import pytest

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from services.loadgen.faults import LoadFaults
from services.loadgen.pace import Pace


def run(scene: Callable[[Pace, LoadFaults], Coroutine[None, None, None]]) -> None:
    async def within() -> None:
        pace = Pace(8, lambda _: 1.0)
        await scene(pace, LoadFaults(pace, itertools.count(1000).__next__))

    asyncio.run(within())


def test_faults_of_users_multiply_the_rate_and_end() -> None:
    async def scene(pace: Pace, faults: LoadFaults) -> None:
        applied = await faults.apply("f1@front-0", "load-spike", {"times": 3})
        assert (pace.rate, pace.current) == (8, 24)
        assert "24 journeys a second" in applied.evidence
        assert (applied.at_us, applied.within_us, applied.acted) == (1001, 1, None)
        await faults.apply("f2@front-0", "load-drop", {"ratio": 0.5})
        assert pace.current == 12
        pace.change(10)
        assert pace.current == 15
        assert [each["id"] for each in faults.listing()] == ["f1@front-0", "f2@front-0"]
        assert await faults.recover("f1@front-0") is not None
        assert pace.current == 5
        assert await faults.recover("f2@front-0") is not None
        assert await faults.recover("f2@front-0") is None
        assert (pace.current, faults.listing()) == (10, [])

    run(scene)


def test_one_fault_on_several_instances_is_one_for_the_users_of_all() -> None:
    async def scene(pace: Pace, faults: LoadFaults) -> None:
        await faults.apply("f1@front-0", "load-spike", {"times": 3})
        await faults.apply("f1@front-1", "load-spike", {"times": 3})
        assert pace.current == 24
        await faults.recover("f1@front-0")
        assert pace.current == 24
        await faults.recover("f1@front-1")
        assert pace.current == 8

    run(scene)


def test_nobody_comes_where_all_stay_away() -> None:
    async def scene(pace: Pace, faults: LoadFaults) -> None:
        await faults.apply("f1@front-0", "load-drop", {"ratio": 1})
        waiting = asyncio.create_task(pace.wait(0.001))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        await faults.recover("f1@front-0")
        await asyncio.wait_for(waiting, 30)

    run(scene)


def test_asking_twice_answers_the_same_and_for_something_else_is_refused() -> None:
    async def scene(_: Pace, faults: LoadFaults) -> None:
        first = await faults.apply("f1@front-0", "load-spike", {"times": 3})
        assert await faults.apply("f1@front-0", "load-spike", {"times": 3}) is first
        with pytest.raises(Conflict, match="in force as load-spike"):
            await faults.apply("f1@front-0", "load-spike", {"times": 4})

    run(scene)


@pytest.mark.parametrize(
    ("kind", "parameters", "sentence"),
    [
        ("cpu-hog", {}, "users can't make 'cpu-hog'; they can make load-drop, load-spike"),
        ("load-spike", {}, "times is None; give a number from 1 to 50"),
        ("load-spike", {"times": 51}, "times is 51"),
        ("load-spike", {"times": True}, "times is True"),
        ("load-drop", {"ratio": 1.5}, "ratio is 1.5; give a number from 0 to 1"),
        ("load-drop", {"ratio": 0.5, "times": 2}, "load-drop has no parameter 'times'"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    kind: str, parameters: dict[str, object], sentence: str
) -> None:
    async def scene(pace: Pace, faults: LoadFaults) -> None:
        with pytest.raises(InvalidInput) as refused:
            await faults.apply("f1@front-0", kind, parameters)
        assert sentence in str(refused.value)
        assert (pace.current, faults.listing()) == (8, [])

    run(scene)


def test_more_users_than_can_be_made_are_refused() -> None:
    async def scene(pace: Pace, faults: LoadFaults) -> None:
        pace.change(5000)
        with pytest.raises(InvalidInput, match="out of bounds"):
            await faults.apply("f1@front-0", "load-spike", {"times": 3})
        assert (pace.current, faults.listing()) == (5000, [])
        await faults.apply("f1@front-0", "load-spike", {"times": 2})
        with pytest.raises(InvalidInput, match="out of bounds"):
            pace.change(6000)
        assert pace.current == 10_000

    run(scene)
