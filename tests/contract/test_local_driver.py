"""The driver of hosts and containers that are processes of this machine, on real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microservo.platforms.driver import TaggedDriver
from microservo.platforms.local.containers import LocalContainers
from microservo.platforms.local.local_place import LocalPlace
from microservo.platforms.local.token import new_token
from microservo.platforms.local.topology_files import read_topology
from microservo.supervision.supervisor import Supervisor
from microservo.testing.checks import Check
from microservo.testing.drivers import CHECKS

pytestmark = pytest.mark.integration


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalContainers]:
    path = tmp_path / "one.toml"
    path.write_text('name = "one"\nentry = "cart"\n[services.cart.endpoints.Get]\n')
    with Supervisor() as supervisor:
        place = LocalPlace(
            topology=read_topology(str(path)),
            topology_path=path,
            folder=tmp_path,
            otlp_url="http://127.0.0.1:1",
            control_token=new_token(),
            start_s=0.3,
        )
        containers = LocalContainers(supervisor, place)
        yield containers
        containers.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_local_driver_keeps_to(check: Check, local: LocalContainers) -> None:
    check(lambda tag: TaggedDriver(local, managed_by=tag), "cart")
