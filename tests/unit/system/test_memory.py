"""A machine that can't hold a system is told so, with figures, before anything is started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from recorded_progress import RecordedProgress

from microservo.domain.target_memory import COMPONENT_BYTES
from microservo.errors import Unavailable
from microservo.supervision.system_file import system_dir
from microservo.system import EmbeddedSystem, memory
from microservo.system.hosts import THREE_REGIONS
from microservo.system.memory import (
    ALGORITHM_BYTES,
    BROKER_BYTES,
    REGIONAL_BYTES,
    beside_bytes,
    check_memory,
)
from microservo.system.options import SystemOptions
from microservo.system.target import TargetOptions, TargetSystem

GIB = 2**30


def test_what_fits_exactly_is_accepted() -> None:
    check_memory("shop", target_bytes=GIB, beside_bytes=GIB, available_bytes=2 * GIB)


def test_a_byte_too_little_is_refused_with_figures_and_the_way_out() -> None:
    said = (
        "shop takes 1.0 GiB of memory, and 1.5 GiB for what runs beside it, and 2.5 GiB are available here; "
    )
    with pytest.raises(Unavailable, match=re.escape(said) + ".*`microservo topology list`"):
        check_memory("shop", target_bytes=GIB, beside_bytes=3 * GIB // 2, available_bytes=5 * GIB // 2 - 1)


def test_a_target_alone_is_refused_without_naming_anything_beside_it() -> None:
    with pytest.raises(Unavailable, match=r"^shop takes 1\.0 GiB of memory, and 0\.5 GiB are available"):
        check_memory("shop", target_bytes=GIB, beside_bytes=0, available_bytes=GIB // 2)


def test_a_broker_of_ones_own_and_fewer_algorithms_take_less() -> None:
    whole = beside_bytes(SystemOptions(algorithms=("n-sigma", "random")))
    one = beside_bytes(SystemOptions(algorithms=("n-sigma",)))
    elsewhere = beside_bytes(SystemOptions(algorithms=("n-sigma",), bootstrap_servers="kafka:9092"))
    assert (whole - one, one - elsewhere) == (ALGORITHM_BYTES, BROKER_BYTES)


def test_a_system_that_does_not_fit_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: RecordedProgress
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: GIB // 4)
    with (
        pytest.raises(Unavailable, match=r"^media takes .* 0\.2 GiB are available"),
        EmbeddedSystem(SystemOptions(name="small", topology="media"), progress) as system,
    ):
        system.start()
    assert not system_dir("small").exists()


def test_so_is_a_target_on_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, progress: RecordedProgress
) -> None:
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: GIB // 4)
    state_file = tmp_path / "target" / "target.json"
    options = TargetOptions(
        otlp_url="http://127.0.0.1:4318", state_file=state_file, system=SystemOptions(topology="sock-shop")
    )
    with (
        pytest.raises(Unavailable, match=r"^sock-shop takes "),
        TargetSystem(options, progress) as target,
    ):
        target.start()
    assert not state_file.parent.exists()


def test_a_manager_takes_memory_and_so_do_the_components_of_each_region() -> None:
    alone, one, three = (
        beside_bytes(SystemOptions(hosts=hosts)) for hosts in ((), THREE_REGIONS[:1] * 2, THREE_REGIONS)
    )
    assert one - alone == REGIONAL_BYTES + 3 * COMPONENT_BYTES
    assert three - one == 6 * COMPONENT_BYTES
