"""Faults of memory, threads, processor, clock, lines and version, each on what it really acts on."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from instance_site import begin, during, site_in, taken_s

from microservo.errors import InvalidInput
from services.workload.active_faults import WorkloadFaults
from services.workload.faults.base import FaultSite
from services.workload.work import burn


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FaultSite]:
    """What faults act on."""
    with site_in(tmp_path) as made:
        yield made


def test_a_memory_leak_grows_with_the_requests_up_to_its_limit_and_is_given_back(site: FaultSite) -> None:
    resident = psutil.Process().memory_info

    async def act() -> None:
        before = resident().rss
        await begin(site, 8)
        assert resident().rss - before > 7.5 * 2**20
        await begin(site, 40)
        assert resident().rss - before < 17 * 2**20, "no more than 16 MiB"

    before = resident().rss
    assert during(site, "memory-leak", act, size="1MiB", most="16MiB") == 16
    assert resident().rss - before < 2 * 2**20


def test_a_thread_leak_grows_with_the_requests_up_to_its_limit_and_ends(site: FaultSite) -> None:
    async def act() -> None:
        await begin(site, 3)
        assert threading.active_count() == before + 3
        await begin(site, 30)
        assert threading.active_count() == before + 20

    before = threading.active_count()
    assert during(site, "thread-leak", act, most="20") == 20
    assert threading.active_count() == before


def test_a_log_flood_is_so_many_lines_for_each_request(
    site: FaultSite, capsys: pytest.CaptureFixture[str]
) -> None:
    acted = during(site, "log-flood", lambda: begin(site, 2), lines="30")
    told = capsys.readouterr().out
    assert acted == 2
    assert told.count("Get of user-7: field ") == 60
    assert "flood" not in told


def test_a_wrong_clock_is_wrong_by_the_sum_of_all_offsets_and_right_afterwards(site: FaultSite) -> None:
    async def life() -> None:
        faults = WorkloadFaults(site)
        applied = await faults.apply("f1", "clock-skew", {"offset_us": -600_000_000})
        await faults.apply("f2", "clock-skew", {"offset_us": 10_000_000})
        assert abs(site.clock.now_us() - (time.time_ns() // 1000 - 590_000_000)) < 1_000_000
        assert abs(applied.at_us - time.time_ns() // 1000) < 10_000_000, "confirmed by the true clock"
        await faults.recover_all()
        assert abs(site.clock.now_us() - time.time_ns() // 1000) < 1_000_000

    asyncio.run(life())


def test_a_smaller_heap_is_collected_more_often_and_is_large_again_afterwards(site: FaultSite) -> None:
    async def act() -> None:
        for _ in range(64):
            site.heap.leave_garbage()
        assert site.heap.size_bytes == 128 * 2**10

    assert during(site, "memory-limit", act, size="128KiB") == 31, "each two of 64 KiB"
    assert site.heap.size_bytes == 4 * 2**20


def test_a_limit_of_the_processor_is_kept_in_the_mean(site: FaultSite) -> None:
    async def act() -> None:
        began_s = time.monotonic()
        burn(0.1)
        assert time.monotonic() - began_s > 0.35, "a tenth of a second at a fifth of a core"

    acted = during(site, "cpu-limit", act, cores="20%")
    assert acted is not None
    assert acted >= 1
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_two_limits_of_the_processor_are_one_too_many(site: FaultSite) -> None:
    async def life() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "cpu-limit", {"cores": 0.5})
        with pytest.raises(InvalidInput, match="f1 limits the instance already; recover it first"):
            await faults.apply("f2", "cpu-limit", {"cores": 0.5})
        await faults.recover_all()

    asyncio.run(life())


def test_a_pause_stops_all_threads_again_and_again(site: FaultSite) -> None:
    seen_s: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen_s.append(time.monotonic())
            time.sleep(0.001)

    async def act() -> None:
        thread = threading.Thread(target=watch)
        thread.start()
        await asyncio.sleep(0.35)
        stop.set()
        thread.join()

    acted = during(site, "gc-pause", act, pause="50ms", interval="100ms")
    assert acted is not None
    assert acted >= 2
    gaps = [after - before for before, after in pairwise(seen_s)]
    assert sum(gap >= 0.045 for gap in gaps) >= 1


def test_a_bad_version_waits_fails_and_says_which_it_is_until_the_one_before_is_back(site: FaultSite) -> None:
    async def act() -> None:
        assert site.telemetry.version == "1.1.0"
        assert await taken_s(begin(site, 1)) >= 0.05
        (spoils,) = site.hooks.spoilers.values()
        assert 0 < sum(spoils("Get") for _ in range(100)) < 60
        with pytest.raises(InvalidInput, match=r"version 1\.1\.0 was deployed already; take it back"):
            await WorkloadFaults(site).apply("f2", "bad-deploy", {"latency_us": 0, "ratio": 0})

    assert during(site, "bad-deploy", act, latency="50ms", ratio="30%") == 1
    assert site.telemetry.version == "1.0.0"
