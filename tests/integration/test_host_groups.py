"""Control groups of this machine: who wants more than the share of a host is slowed down, or killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import launcher_of, state_file
from needed import missing

from microservo.platforms.driver import ContainerPlan
from microservo.platforms.local.host_groups import HostGroups, host_groups
from microservo.platforms.local.state import read_state
from microservo.testing import eventually
from microservo.testing.drivers import host_plan

pytestmark = pytest.mark.integration

TIMEOUT_S = 120.0
MIB = 2**20
BURN = "input()\nwhile True: pass"
TAKE = "input()\nheld = bytearray(256 * 2**20)\nheld[::4096] = b'x' * len(held[::4096])\nprint(len(held))"
TOPOLOGY = 'name = "one"\nentry = "cart"\n[services.cart.endpoints.Get]\n'


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[HostGroups]:
    with host_groups(tmp_path) as found:
        if found.enforced == "accounted":
            missing(
                f"{found.why_not}; run as root, or in a group that is delegated (systemd-run -p Delegate=yes)"
            )
        yield found


def started(groups: HostGroups, host: str, program: str) -> subprocess.Popen[bytes]:
    """A process on a host; it begins when it is written a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    groups.add(host, process.pid)
    return process


def throttled(pid: int) -> int:
    """In how many periods the group of a process had used up its processor time."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for mounted in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup") / controllers):
            found = mounted / path.strip("/") / "cpu.stat"
            if "microservo-" in path and found.exists():
                words = dict(line.split() for line in found.read_text().splitlines())
                return int(words.get("nr_throttled", 0))
    return 0


def test_who_wants_more_processor_than_its_host_has_waits_for_it(groups: HostGroups) -> None:
    groups.begin("slow", cpus=0.05, memory_bytes=256 * MIB)
    process = started(groups, "slow", BURN)
    try:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        eventually(lambda: throttled(process.pid) > 5, timeout_s=TIMEOUT_S, what="it has to wait")
    finally:
        process.kill()
        process.communicate()


def test_who_takes_more_memory_than_its_host_has_is_killed(groups: HostGroups) -> None:
    groups.begin("small", cpus=1.0, memory_bytes=64 * MIB)
    groups.begin("large", cpus=1.0, memory_bytes=1024 * MIB)
    small, large = started(groups, "small", TAKE), started(groups, "large", TAKE)
    assert large.communicate(b"\n", timeout=TIMEOUT_S)[0] == b"268435456\n"
    small.communicate(b"\n", timeout=TIMEOUT_S)
    assert (small.returncode, large.returncode) == (-9, 0)


@pytest.mark.usefixtures("groups")
def test_containers_of_a_launcher_are_in_the_group_of_their_host_and_the_host_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "launcher"
    folder.mkdir()
    with launcher_of(folder, TOPOLOGY) as launcher:
        driver, plan = launcher.driver("groups"), host_plan()
        driver.start_host(plan)
        eventually(lambda: [each.up for each in driver.hosts()] == [True], timeout_s=TIMEOUT_S)
        assert [each.shares for each in driver.hosts()] in (["cgroup v2"], ["cgroup v1"])
        driver.launch(ContainerPlan(id="cart-1", service="cart", host=plan.name))
        eventually(lambda: any(each.ready for each in driver.containers()), timeout_s=TIMEOUT_S)
        found = read_state(state_file(folder)).instance("cart-1")
        assert found is not None
        for pid in (found.pid, found.sidecar_pid):
            assert "/microservo-" in Path(f"/proc/{pid}/cgroup").read_text()
        driver.stop("cart-1", 0.0)
        driver.stop_host(plan.name)
