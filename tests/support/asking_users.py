"""Users who ask a front again and again, and count what they are answered."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import aiohttp

USERS = 8


async def use(url: str, stop: threading.Event) -> Counter[int]:
    """Has users ask again and again; how often they got which status, 0 for none."""
    statuses: Counter[int] = Counter()

    async def user(session: aiohttp.ClientSession) -> None:
        while not stop.is_set():
            try:
                async with session.post(f"{url}/Page") as answer:
                    await answer.read()
                    statuses[answer.status] += 1
            except aiohttp.ClientError:
                statuses[0] += 1

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as users:
        for _ in range(USERS):
            users.create_task(user(session))
    return statuses
