from __future__ import annotations

from microservo.domain.target_memory import (
    LOADGEN_BYTES,
    SIDECAR_BYTES,
    WORKLOAD_BYTES,
    instance_memory_bytes,
    topology_memory_bytes,
)
from microservo.domain.topology import Heap, Service, Topology

MIB = 2**20
CART = Service(name="cart", memory_mb=7, heap=Heap(collect_mb=5), endpoints={})


def test_an_instance_takes_its_processes_what_it_holds_and_its_garbage() -> None:
    assert instance_memory_bytes(CART) == WORKLOAD_BYTES + SIDECAR_BYTES + 12 * MIB


def test_a_topology_takes_that_for_each_replica_and_the_load_generator() -> None:
    three = Service(name="front", replicas=3, memory_mb=1, heap=Heap(collect_mb=1), endpoints={})
    shop = Topology(name="shop", entry="front", services={"front": three, "cart": CART})
    expected = 3 * instance_memory_bytes(three) + instance_memory_bytes(CART) + LOADGEN_BYTES
    assert topology_memory_bytes(shop) == expected
