"""Hosts in columns: what is kept there is what would be computed from the hosts themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.geography import unit_vectors
from microservo.domain.manager.entities import Host, Node
from microservo.domain.manager.host_columns import HostColumns
from microservo.domain.placement import Need, why_not

CHANGES = st.lists(
    st.tuples(st.integers(0, 30), st.booleans(), st.floats(-90, 90), st.floats(-180, 180)), max_size=60
)


@given(CHANGES)
def test_hosts_that_come_move_and_go_have_their_names_places_and_vectors_in_their_rows(
    changes: list[tuple[int, bool, float, float]],
) -> None:
    columns, known = HostColumns(), dict[str, tuple[float, float]]()
    for number, is_there, latitude, longitude in changes:
        name = f"h{number}"
        if is_there:
            columns.put(Host(name=name, place="edge", latitude=latitude, longitude=longitude), None)
            known[name] = latitude, longitude
        else:
            columns.remove(name)
            known.pop(name, None)
        hosts = columns.hosts()
        found = zip(hosts.latitude.tolist(), hosts.longitude.tolist(), strict=True)
        assert dict(zip(hosts.names, found, strict=True)) == known
        assert hosts.rows == {name: row for row, name in enumerate(hosts.names)}
        vectors = unit_vectors(hosts.latitude, hosts.longitude)
        for kept, computed in zip((hosts.x, hosts.y, hosts.z), vectors, strict=True):
            np.testing.assert_allclose(kept, computed, rtol=0, atol=1e-15)


def test_what_is_measured_later_is_seen_by_who_has_the_columns_already() -> None:
    columns = HostColumns()
    columns.put(Host(name="a", place="edge", latitude=0.0, longitude=0.0), None)
    before = columns.hosts()
    columns.measure("a", {"cpu_percent": 7.0}, 1)
    assert before.cpu_percent.tolist() == [7.0]
    assert columns.hosts() is before


NEEDS = [Need(memory_bytes=memory, cpu_cores=cores) for memory in (0.0, 1e9, 3e9) for cores in (0.0, 0.5)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "measure", "reserve", "settle", "release", "ask"]),
        st.integers(0, 12),
        st.integers(0, len(NEEDS) - 1),
        st.sampled_from([0.0, 50.0, 89.9, 95.0]),
    ),
    max_size=80,
)


@given(STEPS)
def test_what_is_kept_of_who_has_room_is_what_would_be_computed_from_all_hosts_anew(
    steps: list[tuple[str, int, int, float]],
) -> None:
    columns = HostColumns()
    for at_us, (step, number, need, value) in enumerate(steps):
        name, container = f"h{number}", f"c{need}"
        if step == "put":
            host = Host(
                name=name,
                place="edge",
                latitude=float(number),
                longitude=0.0,
                state="running" if value else "off",
                memory_bytes=8e9,
                cores=4.0,
            )
            columns.put(host, Node(host=name) if number % 3 else None)
        elif step == "remove":
            columns.remove(name)
        elif step == "measure":
            measured = {"cpu_percent": value, "memory_available": 8e9 - 8e7 * value, "disk_available": 1e9}
            columns.measure(name, measured, at_us)
        elif step == "reserve":
            columns.reserve(container, name, NEEDS[need])
        elif step == "settle":
            columns.settle(container, at_us)
        elif step == "release":
            columns.release(container)
        else:
            kept = columns.why_not(NEEDS[need])
            assert kept.tolist() == why_not(columns.hosts(), NEEDS[need]).tolist()
