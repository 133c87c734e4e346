"""Faults of disk, database, cache, heap, clock, threads and versions, each on what it really acts on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from instance_site import during, site_in, taken_s, use

from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from services.workload.active_faults import WorkloadFaults
from services.workload.database import CONNECTIONS
from services.workload.faults.base import KINDS as CARRIED
from services.workload.faults.base import FaultSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FaultSite]:
    """What faults act on."""
    with site_in(tmp_path) as made:
        yield made


def test_the_instance_carries_each_kind_of_the_catalogue_that_says_so() -> None:
    named = {name for name, kind in KINDS.items() if {"workload", "network"} & set(kind.mechanisms)}
    assert set(CARRIED) == named


@pytest.mark.parametrize(
    "kind", sorted(name for name, each in KINDS.items() if "workload" in each.mechanisms)
)
def test_each_kind_can_be_applied_and_leaves_nothing_behind(site: FaultSite, kind: str) -> None:
    async def nothing() -> None:
        await asyncio.sleep(0)

    during(site, kind, nothing)
    hooks = site.hooks
    left = (hooks.renamers, hooks.beginnings, hooks.spoilers, hooks.answerers, site.caches.outages)
    assert left == ({}, {}, {}, {}, {})
    assert (site.volume.latencies, site.volume.errors, site.clock.offsets_us) == ({}, {}, {})
    assert (site.database.query_latencies, site.database.writer_delays, site.database.folders) == ({}, {}, {})
    assert (site.caller.limits_us, site.caller.addresses, site.core.limits) == ({}, {}, set())
    assert (site.database.pool.used, site.database.writer.locked()) == (0, False)
    assert (site.volume.used_share(), site.telemetry.version) == (0.0, "1.0.0")


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("disk-slow", {"volume": "/var", "delay_us": 9000, "ratio": 1, "path": ""}, "volume is '/var'; the one"),
    (
        "disk-error",
        {"volume": "/data", "errno": 5, "ratio": 1, "path": "/data/x"},
        "only file is '/data/rows",
    ),
    ("disk-full", {"volume": "/data", "left_bytes": -1}, "left_bytes is -1; give a number"),
    (
        "db-slow-query",
        {"database": "carts", "table": "", "latency_us": 9000, "connector": 8},
        "database is 'carts'; the one of an instance is called 'shop'",
    ),
    (
        "db-slow-query",
        {"database": "shop", "table": "users", "latency_us": 9000, "connector": 8},
        r"table is 'users'; choose one of \['Get', 'Set'\]",
    ),
    ("memory-leak", {"bytes": 2**20, "most_bytes": 2**40}, "must stay free; ask for less"),
    ("thread-leak", {"most": 0}, "most is 0"),
    ("log-flood", {"lines": 501}, "lines is 501"),
    ("cpu-limit", {"cores": 0.001}, "cores is 0.001"),
    ("gc-pause", {"pause_us": 3_000_000, "interval_us": 100_000}, "pause_us is 3000000"),
    ("lock-contention", {"hold_us": 1}, "hold_us is 1"),
    ("config-error", {"setting": "colour"}, "setting is 'colour'; choose one of"),
    ("cache-penetration", {"ratio": 2}, "ratio is 2"),
    ("wrong-answer", {"ratio": 1, "endpoint": "Gt"}, "endpoint is 'Gt'"),
    ("connection-pool-exhaustion", {}, "ratio is None"),
    ("bad-deploy", {"latency_us": -1, "ratio": 0}, "latency_us is -1"),
    ("clock-skew", {"offset_us": 0.5}, "give a whole number"),
    ("memory-limit", {"bytes": 1}, "bytes is 1"),
]


@pytest.mark.parametrize(("kind", "parameters", "told"), REFUSED)
def test_what_an_instance_can_not_carry_is_refused_with_the_way_out(
    site: FaultSite, kind: str, parameters: Mapping[str, object], told: str
) -> None:
    async def refused() -> None:
        with pytest.raises(InvalidInput, match=told):
            await WorkloadFaults(site).apply("f1", kind, parameters)

    asyncio.run(refused())


@pytest.mark.parametrize("setting", ["address", "timeout"])
def test_a_wrong_address_is_refused_by_an_instance_that_calls_nobody(tmp_path: Path, setting: str) -> None:
    async def refused() -> None:
        with pytest.raises(InvalidInput, match="but the instance calls nobody; give database"):
            await WorkloadFaults(leaf).apply("f1", "config-error", {"setting": setting})

    with site_in(tmp_path, callees=()) as leaf:
        asyncio.run(refused())


def test_a_slow_disk_holds_back_each_transfer(site: FaultSite) -> None:
    async def act() -> None:
        await site.database.put("Get", "user-7", b"row")
        assert await taken_s(use(site)) >= 0.1, "a read and a write"

    assert during(site, "disk-slow", act, delay="50ms") == 3


def test_a_slow_disk_spares_the_transfers_beyond_its_share(site: FaultSite) -> None:
    async def act() -> None:
        for number in range(200):
            await site.volume.append("rows.log", bytes([number]))

    acted = during(site, "disk-slow", act, delay="1ms", ratio="30%")
    assert acted is not None
    assert 40 <= acted <= 80


def test_an_error_of_the_disk_is_the_one_of_its_number_and_names_the_file(site: FaultSite) -> None:
    async def act() -> None:
        with pytest.raises(OSError, match=r"Input/output error: '/data/rows.log'"):
            await use(site)

    assert during(site, "disk-error", act) == 1
    asyncio.run(use(site))


def test_a_full_disk_refuses_what_is_written_takes_its_quota_and_gives_it_back(
    site: FaultSite, tmp_path: Path
) -> None:
    async def act() -> None:
        with pytest.raises(OSError, match="No space left on device"):
            await site.database.put("Get", "user-8", b"row")
        assert await site.database.find("Get", "user-7"), "what is there is read"
        sizes = [each.stat().st_size for each in (tmp_path / "data").iterdir()]
        assert sum(sizes) == 8 * 2**20
        assert site.volume.used_share() == 1.0

    asyncio.run(site.database.put("Get", "user-7", b"row"))
    during(site, "disk-full", act)
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["rows.log"]
    asyncio.run(site.database.put("Get", "user-8", b"row"))


def test_a_disk_that_is_nearly_full_takes_what_still_fits(site: FaultSite) -> None:
    async def act() -> None:
        await site.database.put("Get", "a", bytes(1000))
        with pytest.raises(OSError, match="No space left"):
            await site.database.put("Get", "b", bytes(100))

    during(site, "disk-full", act, left="1kB")


def test_slow_queries_take_longer_and_keep_their_connections(site: FaultSite) -> None:
    async def act() -> None:
        queries = [asyncio.create_task(site.database.find("Get", str(n))) for n in range(CONNECTIONS + 1)]
        await asyncio.sleep(0.03)
        assert (site.database.pool.used, site.database.pool.pending) == (CONNECTIONS, 1)
        assert await taken_s(asyncio.gather(*queries)) >= 0.5, "the last one waits for the first"
        await site.database.find("Set", "0")

    acted = during(site, "db-slow-query", act, latency="400ms", table="Get")
    assert acted == CONNECTIONS + 1, "another table is spared"


def test_without_connections_who_needs_one_waits_and_goes_on_when_they_are_back(site: FaultSite) -> None:
    waiting: list[asyncio.Task[None]] = []

    async def act() -> None:
        assert site.database.pool.used == CONNECTIONS
        waiting.append(asyncio.create_task(use(site)))
        await asyncio.sleep(0.01)
        assert site.database.pool.pending == 1

    async def life() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "connection-pool-exhaustion", {"ratio": 1.0})
        await act()
        await faults.recover("f1")
        await waiting[0]

    asyncio.run(life())


def test_connections_that_others_hold_are_not_taken_and_those_taken_are_given_back(site: FaultSite) -> None:
    async def life() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "connection-pool-exhaustion", {"ratio": 0.5})
        with pytest.raises(InvalidInput, match="somebody else holds them"):
            await faults.apply("f2", "connection-pool-exhaustion", {"ratio": 1.0})
        assert site.database.pool.used == CONNECTIONS // 2
        await faults.recover_all()

    asyncio.run(life())


def test_who_holds_the_lock_longer_makes_the_others_wait_in_turn(site: FaultSite) -> None:
    async def act() -> None:
        writers = [site.database.put("Get", str(number), b"row") for number in range(3)]
        assert await taken_s(asyncio.gather(*writers)) >= 0.09

    assert during(site, "lock-contention", act, hold="30ms") == 3


def test_behind_a_deadlock_nothing_goes_on_until_it_is_over(site: FaultSite) -> None:
    async def life() -> None:
        faults = WorkloadFaults(site)
        await faults.apply("f1", "deadlock", {})
        writing = asyncio.create_task(site.database.put("Get", "user-7", b"row"))
        await asyncio.sleep(0.05)
        assert not writing.done()
        await faults.recover("f1")
        await writing

    asyncio.run(life())


def test_a_cache_that_failed_answers_nothing_and_holds_nothing_afterwards(site: FaultSite) -> None:
    async def act() -> None:
        for _ in range(3):
            await site.database.find("Get", "user-7")
        assert site.caches.hit_ratio() == 0.0

    async def again() -> None:
        await site.database.find("Get", "user-7")
        assert site.caches.hit_ratio() == 0.0, "what was in it is lost"
        await site.database.find("Get", "user-7")
        assert site.caches.hit_ratio() == 1.0

    asyncio.run(site.database.put("Get", "user-7", b"row"))
    assert during(site, "cache-failure", act) == 3
    asyncio.run(again())


def test_a_share_of_the_requests_asks_for_keys_that_were_never_there(site: FaultSite) -> None:
    keys: list[str] = []

    async def act() -> None:
        (rename,) = site.hooks.renamers.values()
        keys.extend(rename("user-7") for _ in range(200))

    acted = during(site, "cache-penetration", act, ratio="50%")
    asked = [key for key in keys if key != "user-7"]
    assert acted == len(asked)
    assert 70 <= len(asked) <= 130
    assert len(set(asked)) == len(asked), "each another one"


def test_a_wrong_answer_is_the_record_of_another_key_of_the_same_form(site: FaultSite) -> None:
    answered: list[tuple[str, str]] = []

    async def act() -> None:
        (answerer,) = site.hooks.answerers.values()
        for number in range(100):
            record = {"endpoint": "Get", "key": f"user-{number % 5}", "payload": "x"}
            answerer(record)
            answered.append((f"user-{number % 5}", record["key"]))

    acted = during(site, "wrong-answer", act)
    assert acted == sum(asked != got for asked, got in answered)
    assert 30 <= acted <= 70
    assert {got for _, got in answered} <= {f"user-{number}" for number in range(5)}


def test_a_share_of_the_answers_carries_more_than_was_asked_for(site: FaultSite) -> None:
    attached: list[bytes] = []

    async def act() -> None:
        (attach,) = site.hooks.attachers.values()
        attached.extend(attach("Get") for _ in range(100))

    acted = during(site, "cascade", act, size="64KiB", ratio="50%")
    carried = [each for each in attached if each]
    assert acted == len(carried)
    assert 30 <= len(carried) <= 70
    assert 60_000 <= len(carried[0]) <= 65_536
    assert len(json.loads(carried[0])) > 1000


def test_a_wrong_folder_makes_every_use_of_the_database_fail(site: FaultSite) -> None:
    async def act() -> None:
        with pytest.raises(FileNotFoundError, match=r"'/data/old/rows\.log'"):
            await use(site)

    asyncio.run(use(site))
    during(site, "config-error", act)
    asyncio.run(use(site))
