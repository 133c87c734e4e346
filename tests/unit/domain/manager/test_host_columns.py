"""Hosts in columns: what is kept there is what would be computed from the hosts themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from microservo.domain.geography import unit_vectors
from microservo.domain.manager.entities import Host
from microservo.domain.manager.host_columns import HostColumns

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
