from __future__ import annotations

import psutil

from microservo.domain.topology import Heap
from services.workload.heap import GarbageHeap

MIB = 2**20


def test_memory_rises_with_each_request_and_falls_when_it_is_collected() -> None:
    memory = psutil.Process().memory_info
    heap = GarbageHeap(Heap(garbage_kb=1024, collect_mb=32))
    before = memory().rss
    for _ in range(32):
        heap.leave_garbage()
    assert memory().rss - before > 30 * MIB
    heap.leave_garbage()
    assert memory().rss - before < 4 * MIB, "what was there is given back, one more request is here"
    heap.close()


def test_garbage_of_one_request_is_bounded_by_the_heap() -> None:
    heap = GarbageHeap(Heap(garbage_kb=3000, collect_mb=1))
    for _ in range(3):
        heap.leave_garbage()
    heap.close()
