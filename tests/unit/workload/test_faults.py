from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import psutil
import pytest

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from services.workload.active_faults import WorkloadFaults
from services.workload.faults.base import FaultSite

EXCEPTION: dict[str, object] = {"ratio": 0.5, "endpoint": "Get"}


def make_site() -> FaultSite:
    spoilers: dict[str, Callable[[str], bool]] = {}
    return FaultSite(seed="7/back-0", endpoints=frozenset({"Get", "Set"}), spoilers=spoilers)


def test_asking_twice_for_the_same_fault_answers_the_same() -> None:
    async def twice() -> None:
        faults = WorkloadFaults(make_site())
        first = await faults.apply("f1", "app-exception", EXCEPTION)
        assert await faults.apply("f1", "app-exception", dict(EXCEPTION)) is first
        assert [fault["id"] for fault in faults.listing()] == ["f1"]

    asyncio.run(twice())


def test_the_same_id_with_another_body_is_a_conflict() -> None:
    async def conflict() -> None:
        faults = WorkloadFaults(make_site())
        await faults.apply("f1", "app-exception", EXCEPTION)
        with pytest.raises(Conflict, match="recover it first"):
            await faults.apply("f1", "app-exception", {"ratio": 0.6, "endpoint": "Get"})

    asyncio.run(conflict())


def test_recovering_what_is_not_active_says_so() -> None:
    assert asyncio.run(WorkloadFaults(make_site()).recover("f9")) is None


@pytest.mark.parametrize(
    ("kind", "parameters", "told"),
    [
        ("network-delay", {}, "'network-delay' is not carried in-process; choose one of"),
        ("app-exception", {}, "ratio is None; give a number from 0 to 1"),
        ("app-exception", {"ratio": 1.01}, "ratio is 1.01"),
        ("app-exception", {"ratio": True}, "ratio is True"),
        ("app-exception", {"ratio": 1, "endpoint": "Gt"}, "endpoint is 'Gt'; choose one of"),
        ("app-exception", {"ratio": 1, "status": 3}, r"unknown parameters \['status'\]"),
        ("cpu-hog", {"workers": 0, "load_ratio": 1}, "workers is 0"),
        ("cpu-hog", {"workers": 1.5, "load_ratio": 1}, "workers is 1.5; give a whole number"),
        ("cpu-hog", {"workers": 1, "load_ratio": float("nan")}, "load_ratio is nan"),
        ("memory-hog", {"bytes": 2**40}, "must stay free; ask for less"),
    ],
)
def test_a_bad_fault_is_refused_and_nothing_is_touched(
    kind: str, parameters: dict[str, object], told: str
) -> None:
    async def refused() -> None:
        faults = WorkloadFaults(site)
        with pytest.raises(InvalidInput, match=told):
            await faults.apply("f1", kind, parameters)
        assert faults.listing() == []

    site = make_site()
    asyncio.run(refused())
    assert site.spoilers == {}


def test_an_exception_strikes_its_endpoint_only_and_its_share_of_requests() -> None:
    async def strike() -> list[bool]:
        site = make_site()
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", EXCEPTION)
        assert not any(site.spoilers["f1"]("Set") for _ in range(100))
        struck = [site.spoilers["f1"]("Get") for _ in range(1000)]
        await faults.recover("f1")
        assert site.spoilers == {}
        return struck

    struck = asyncio.run(strike())
    assert 400 < sum(struck) < 600
    assert struck == asyncio.run(strike()), "the same seed and fault strike the same requests"


def test_two_exceptions_at_once_are_both_in_force() -> None:
    async def both() -> None:
        site = make_site()
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", {"ratio": 1, "endpoint": "Get"})
        await faults.apply("f2", "app-exception", {"ratio": 1, "endpoint": "Set"})
        assert set(site.spoilers) == {"f1", "f2"}
        await faults.recover("f1")
        assert set(site.spoilers) == {"f2"}

    asyncio.run(both())


def test_a_cpu_hog_runs_its_threads_until_it_is_recovered() -> None:
    async def hog() -> None:
        faults = WorkloadFaults(make_site())
        before = threading.active_count()
        await faults.apply("f1", "cpu-hog", {"workers": 2, "load_ratio": 0.5})
        assert sum(thread.name == "worker" for thread in threading.enumerate()) == 2
        await faults.recover("f1")
        assert not any(thread.name == "worker" for thread in threading.enumerate())
        assert threading.active_count() <= before + 1, "the loop's own helper thread may stay"

    asyncio.run(hog())


def test_a_memory_hog_holds_its_bytes_and_gives_them_back() -> None:
    def resident() -> int:
        return psutil.Process().memory_info().rss

    async def hog() -> None:
        faults = WorkloadFaults(make_site())
        size = 64 * 2**20
        before = resident()
        await faults.apply("f1", "memory-hog", {"bytes": size})
        held = resident()
        assert held - before > 0.9 * size
        await faults.recover("f1")
        assert held - resident() > 0.9 * size

    asyncio.run(hog())


def test_what_is_active_when_the_process_stops_is_recovered() -> None:
    async def stop() -> None:
        faults = WorkloadFaults(make_site())
        await faults.apply("f1", "app-exception", EXCEPTION)
        await faults.apply("f2", "cpu-hog", {"workers": 1, "load_ratio": 0.1})
        await faults.recover_all()
        assert faults.listing() == []

    asyncio.run(stop())
