from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import instance_site
import psutil
import pytest
from instance_site import site_in

from microservo.adapters.clock import now_us
from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from microservo.testing import eventually
from services.workload.active_faults import WorkloadFaults
from services.workload.faults.base import FaultSite

SUPPORT = str(Path(instance_site.__file__).parent)
EXCEPTION: dict[str, object] = {"ratio": 0.5, "endpoint": "Get"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FaultSite]:
    """What faults act on."""
    with site_in(tmp_path) as made:
        yield made


def test_asking_twice_for_the_same_fault_answers_the_same(site: FaultSite) -> None:
    async def twice() -> None:
        faults = WorkloadFaults(site)
        first = await faults.apply("f1", "app-exception", EXCEPTION)
        assert await faults.apply("f1", "app-exception", dict(EXCEPTION)) is first
        assert [fault["id"] for fault in faults.listing()] == ["f1"]
        assert [fault["acted"] for fault in faults.listing()] == [0]

    asyncio.run(twice())


def test_a_fault_took_effect_within_the_bounds_that_are_given_and_counts_what_it_acted_on(
    site: FaultSite,
) -> None:
    async def life() -> None:
        faults = WorkloadFaults(site)
        before_us = now_us()
        applied = await faults.apply("f1", "memory-hog", {"bytes": 2**20})
        assert applied.within_us is not None
        assert before_us <= applied.at_us - applied.within_us <= applied.at_us <= now_us()
        assert applied.acted is None
        assert (await faults.apply("f2", "app-exception", {"ratio": 1.0})).acted == 0
        assert site.hooks.spoilers["f2"]("Get")
        assert site.hooks.spoilers["f2"]("Set")
        recovered = await faults.recover("f2")
        assert recovered is not None
        assert recovered.acted == 2
        await faults.recover_all()

    asyncio.run(life())


def test_the_same_id_with_another_body_is_a_conflict(site: FaultSite) -> None:
    async def conflict() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", EXCEPTION)
        with pytest.raises(Conflict, match="recover it first"):
            await faults.apply("f1", "app-exception", {"ratio": 0.6, "endpoint": "Get"})

    asyncio.run(conflict())


def test_recovering_what_is_not_active_says_so(site: FaultSite) -> None:
    assert asyncio.run(WorkloadFaults(site).recover("f9")) is None


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
    site: FaultSite, kind: str, parameters: dict[str, object], told: str
) -> None:
    async def refused() -> None:
        faults = WorkloadFaults(site)
        with pytest.raises(InvalidInput, match=told):
            await faults.apply("f1", kind, parameters)
        assert faults.listing() == []

    asyncio.run(refused())
    assert site.hooks.spoilers == {}


def test_an_exception_strikes_its_endpoint_only_and_its_share_of_requests(site: FaultSite) -> None:
    async def strike() -> list[bool]:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", EXCEPTION)
        assert not any(site.hooks.spoilers["f1"]("Set") for _ in range(100))
        struck = [site.hooks.spoilers["f1"]("Get") for _ in range(1000)]
        await faults.recover("f1")
        assert site.hooks.spoilers == {}
        return struck

    struck = asyncio.run(strike())
    assert 400 < sum(struck) < 600
    assert struck == asyncio.run(strike()), "the same seed and fault strike the same requests"


def test_two_exceptions_at_once_are_both_in_force(site: FaultSite) -> None:
    async def both() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", {"ratio": 1, "endpoint": "Get"})
        await faults.apply("f2", "app-exception", {"ratio": 1, "endpoint": "Set"})
        assert set(site.hooks.spoilers) == {"f1", "f2"}
        await faults.recover("f1")
        assert set(site.hooks.spoilers) == {"f2"}

    asyncio.run(both())


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_a_cpu_hog_burns_in_processes_that_are_gone_when_it_is_recovered(site: FaultSite) -> None:
    async def hog() -> None:
        faults = WorkloadFaults(site)
        before = footprint()
        await faults.apply("f1", "cpu-hog", {"workers": 2, "load_ratio": 1})
        assert len(children()) == 2
        eventually(
            lambda: all(each.cpu_times().user > 0.05 for each in children()), timeout_s=120, what="burnt time"
        )
        assert footprint() == before, "what is counted in the instance itself does not change"
        await faults.recover("f1")
        assert children() == []
        assert footprint() == before

    asyncio.run(hog())


def footprint() -> tuple[int, int]:
    """Threads and open files of this process."""
    process = psutil.Process()
    return process.num_threads(), process.num_fds()


def test_a_cpu_hog_takes_its_share_of_the_time(site: FaultSite) -> None:
    async def hog() -> float:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "cpu-hog", {"workers": 1, "load_ratio": 0.2})
        (burning,) = children()
        begin_s = time.monotonic()
        # The loop is needed to stop and continue it.
        while burning.cpu_times().user < 0.2 and time.monotonic() < begin_s + 30:
            await asyncio.sleep(0.01)
        took_s = time.monotonic() - begin_s
        await faults.recover("f1")
        return took_s

    assert asyncio.run(hog()) > 0.5, "a fifth of the time, and not all of it"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets threads give up their turn")
def test_an_instance_waits_for_its_turn_as_long_as_one_of_its_hogs_burns(site: FaultSite) -> None:
    def policies() -> set[int]:
        return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}

    async def hogs() -> list[set[int]]:
        faults, seen = WorkloadFaults(site), [policies()]
        for fault_id in ("f1", "f2"):
            await faults.apply(fault_id, "cpu-hog", {"workers": 1, "load_ratio": 0.1})
            seen.append(policies())
        for fault_id in ("f1", "f2"):
            await faults.recover(fault_id)
            seen.append(policies())
        return seen

    calm, waiting = {os.SCHED_OTHER}, {os.SCHED_BATCH}
    assert asyncio.run(hogs()) == [calm, waiting, waiting, waiting, calm]


INSTANCE = """
import asyncio, pathlib, sys
from instance_site import site_in
from services.workload.active_faults import WorkloadFaults

async def burn():
    with site_in(pathlib.Path(sys.argv[1])) as site:
        await WorkloadFaults(site).apply("f", "cpu-hog", {"workers": 2, "load_ratio": 1})
        print("burning", flush=True)
        await asyncio.Event().wait()

asyncio.run(burn())
"""


def test_a_cpu_hog_stands_still_with_its_instance_and_dies_with_it(tmp_path: Path) -> None:
    command, environment = (
        [sys.executable, "-c", INSTANCE, str(tmp_path)],
        {**os.environ, "PYTHONPATH": SUPPORT},
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as instance:
        try:
            assert instance.stdout
            assert instance.stdout.readline() == b"burning\n"
            hogs = psutil.Process(instance.pid).children()
            assert len(hogs) == 2
            if sys.platform == "linux":
                instance.send_signal(signal.SIGSTOP)
                eventually(lambda: all(map(stands_still, hogs)), what="the hogs to stand still")
                instance.send_signal(signal.SIGCONT)
                eventually(lambda: not any(map(stands_still, hogs)), what="the hogs to go on")
        finally:
            instance.kill()
    eventually(lambda: not any(map(is_there, hogs)), what="the hogs to end")


def stands_still(process: psutil.Process) -> bool:
    """Whether it waits; one that burns is always ready to run, however little it gets of its core."""
    return bool(process.status() == psutil.STATUS_SLEEPING)


def is_there(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_memory_hog_holds_its_bytes_and_gives_them_all_back(site: FaultSite) -> None:
    def resident() -> int:
        return psutil.Process().memory_info().rss

    async def hog() -> None:
        faults = WorkloadFaults(site)
        size = 64 * 2**20
        before, threads = resident(), footprint()
        await faults.apply("f1", "memory-hog", {"bytes": size})
        assert resident() - before > 0.99 * size
        assert footprint() == threads
        await faults.recover("f1")
        assert resident() - before < 2**20
        assert footprint() == threads

    asyncio.run(hog())


def test_what_is_active_when_the_process_stops_is_recovered(site: FaultSite) -> None:
    async def stop() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "app-exception", EXCEPTION)
        await faults.apply("f2", "cpu-hog", {"workers": 1, "load_ratio": 0.1})
        await faults.recover_all()
        assert faults.listing() == []

    asyncio.run(stop())
