"""The disk and the database of an instance, without any fault."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from microservo.errors import InvalidInput
from services.workload.cache import Caches
from services.workload.database import CONNECTIONS, Database
from services.workload.pool import ConnectionPool, PoolTimeout
from services.workload.volume import Volume


def make(folder: Path, **quota: int) -> tuple[Volume, Caches, Database]:
    volume, caches = Volume(folder / "data", **quota), Caches(())
    return volume, caches, Database(volume, caches.rows)


def test_a_row_is_read_from_the_disk_once_and_from_the_cache_afterwards(tmp_path: Path) -> None:
    async def life() -> list[bool]:
        _, caches, database = make(tmp_path)
        seen = [await database.find("Get", "a")]
        await database.put("Get", "a", b"row")
        caches.rows.drop("Get/a")
        seen += [await database.find("Get", "a"), await database.find("Get", "a")]
        seen += [await database.find("Set", "a")]
        assert (caches.rows.hits, caches.rows.misses) == (1, 3)
        return seen

    assert asyncio.run(life()) == [False, True, True, False]


def test_the_log_is_written_anew_when_it_is_long_and_keeps_the_newest_row_of_each_key(tmp_path: Path) -> None:
    async def life() -> None:
        volume, caches, database = make(tmp_path)
        row = bytes(300_000)
        for number in range(8):
            await database.put("Get", f"key-{number % 2}", bytes([number]) + row)
        assert volume.used_share() < 6 * 300_001 / (8 * 2**20), "not all that was ever written"
        for key in ("key-0", "key-1"):
            caches.rows.drop(f"Get/{key}")
            assert await database.find("Get", key)
        log = (tmp_path / "data" / "rows.log").read_bytes()
        assert log.count(bytes([7]) + row) == 1

    asyncio.run(life())


def test_a_disk_holds_its_quota_and_no_more(tmp_path: Path) -> None:
    async def life() -> None:
        volume, _, database = make(tmp_path, quota_bytes=100)
        await database.put("Get", "a", bytes(60))
        with pytest.raises(OSError, match=r"No space left on device: '/data/rows.log'"):
            await database.put("Get", "b", bytes(60))
        assert volume.free_bytes == 40
        await database.put("Get", "c", bytes(40))
        assert volume.used_share() == 1.0
        assert (tmp_path / "data" / "rows.log").stat().st_size == 100

    asyncio.run(life())


def test_a_disk_is_empty_at_the_start_whatever_a_killed_instance_left(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "f-1.tmp").write_bytes(bytes(1000))
    volume, _, _ = make(tmp_path)
    assert volume.used_share() == 0.0
    assert list((tmp_path / "data").iterdir()) == []
    volume.close()
    assert not (tmp_path / "data").exists()


def test_a_folder_in_which_there_is_something_to_lose_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter.txt").write_text("dear")
    with pytest.raises(
        InvalidInput, match=r"letter\.txt is not of an instance.*give --data a folder of its own"
    ):
        make(tmp_path)
    assert (tmp_path / "data" / "letter.txt").exists()


def test_who_finds_no_connection_waits_for_one_and_gives_up_in_the_end() -> None:
    async def life() -> None:
        pool = ConnectionPool(size=1, timeout_s=0.05)
        async with pool.connection():
            assert (pool.used, pool.pending) == (1, 0)
            with pytest.raises(PoolTimeout, match=r"none of 1 connections became free within 0\.05 s"):
                await pool.acquire()
            waiting = asyncio.create_task(pool.acquire())
            await asyncio.sleep(0)
            assert pool.pending == 1
        await waiting
        assert (pool.used, pool.pending) == (1, 0)

    asyncio.run(life())


def test_as_many_queries_run_at_once_as_there_are_connections(tmp_path: Path) -> None:
    async def life() -> None:
        _, _, database = make(tmp_path)
        queries = [
            asyncio.create_task(database.find("Get", str(number))) for number in range(CONNECTIONS + 3)
        ]
        await asyncio.sleep(0.001)
        assert (database.pool.used, database.pool.pending) == (CONNECTIONS, 3)
        await asyncio.gather(*queries)
        assert database.pool.used == 0

    asyncio.run(life())
