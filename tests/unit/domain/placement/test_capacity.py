"""Which hosts have room for a container."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from placed import GB, host, hosts_of, inactive

from microservo.domain.placement import Hosts, Need, room
from microservo.domain.placement.capacity import (
    DISK,
    FITS,
    MEMORY,
    PROCESSOR,
    UNKNOWN,
    memory_forecast_percent,
)
from microservo.errors import InvalidInput

ONE_GB = Need(memory_bytes=GB)


def said(need: Need, **differs: Any) -> int:
    return int(room(hosts_of([host("h", **differs)]), need)[0])


def test_memory_is_forecast_with_what_the_service_is_expected_to_use() -> None:
    assert memory_forecast_percent(np.array([4 * GB]), np.array([16 * GB]), GB).tolist() == [81.25]
    # (1 - (2.6 - 1) / 16) x 100 is 90, which is not below 90.
    assert said(ONE_GB, memory_available=2.6 * GB) == MEMORY
    assert said(ONE_GB, memory_available=2.61 * GB) == FITS
    assert said(Need(), memory_available=1.61 * GB) == FITS


def test_how_busy_processors_are_is_not_divided_by_their_number_again() -> None:
    assert said(ONE_GB, cpu_percent=90.0, cores=64.0) == PROCESSOR
    assert said(ONE_GB, cpu_percent=89.9, cores=1.0) == FITS


def test_processors_that_a_container_will_keep_busy_count_in_per_cent_of_all() -> None:
    assert said(Need(cpu_cores=2), cpu_percent=39.9, cores=4.0) == FITS
    assert said(Need(cpu_cores=2), cpu_percent=40.0, cores=4.0) == PROCESSOR
    assert said(Need(cpu_cores=2), cores=math.nan) == UNKNOWN
    assert said(Need(), cores=math.nan) == FITS


def test_the_image_must_fit_on_the_disk() -> None:
    assert said(Need(disk_bytes=2 * GB), disk_available=2 * GB) == FITS
    assert said(Need(disk_bytes=2 * GB), disk_available=2 * GB - 1) == DISK


@pytest.mark.parametrize(
    ("full", "why"),
    [
        ({"reserved_memory": 10 * GB}, MEMORY),
        ({"reserved_cores": 3.3}, PROCESSOR),
        ({"reserved_disk": 100 * GB}, DISK),
    ],
)
def test_containers_that_are_still_starting_take_their_room_already(full: dict[str, float], why: int) -> None:
    need = Need(memory_bytes=GB, disk_bytes=1)
    assert said(need) == FITS
    assert said(need, **full) == why


def test_a_reservation_is_kept_on_one_host_and_leaves_the_columns_before_it_as_they_were() -> None:
    before = hosts_of([host("a"), host("b")])
    after = before.with_reservation(1, Need(memory_bytes=10 * GB, cpu_cores=1, disk_bytes=5))
    assert room(after, ONE_GB).tolist() == [FITS, MEMORY]
    assert room(before, ONE_GB).tolist() == [FITS, FITS]
    assert (after.reserved_cores[1], after.reserved_disk[1]) == (1, 5)


@pytest.mark.parametrize("column", ["cpu_percent", "memory_available", "memory_total", "disk_available"])
def test_a_node_of_which_something_was_not_measured_has_no_room(column: str) -> None:
    assert said(ONE_GB, **{column: math.nan}) == UNKNOWN


def test_a_host_that_is_off_is_taken_to_have_what_is_known_of_it() -> None:
    hosts = hosts_of(
        [
            inactive("small", memory_total=GB),
            inactive("large"),
            inactive("unknown", memory_total=math.nan),
            inactive("promised", reserved_memory=15 * GB),
        ]
    )
    assert room(hosts, ONE_GB).tolist() == [MEMORY, FITS, FITS, MEMORY]


def test_columns_of_different_lengths_are_refused() -> None:
    usual = hosts_of([host("a")])
    columns = {name: getattr(usual, name) for name in Hosts.__slots__ if name not in ("names", "rows")}
    with pytest.raises(InvalidInput, match="column latitude has 1 rows for 2 hosts"):
        Hosts(names=("a", "b"), rows={"a": 0, "b": 1}, **columns)


def test_a_host_that_is_nowhere_is_refused() -> None:
    with pytest.raises(InvalidInput, match="host a is at latitude nan, longitude 0; give degrees"):
        hosts_of([host("a", latitude=math.nan)])
