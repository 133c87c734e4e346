"""A launcher owns the containers: a manager in another process may be killed, and the next one finds them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from machine import TIMEOUT_S, Launcher, launcher_of

from microservo.adapters.ports import free_ports
from microservo.adapters.processes import python_argv
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.local.remote_driver import RemoteDriver
from microservo.platforms.local.state import read_state
from microservo.platforms.local.token import VARIABLE
from microservo.runtime.probe import is_healthy
from microservo.testing import eventually
from microservo.testing.checks import Check
from microservo.testing.drivers import CHECKS, container_plan, host_plan

pytestmark = pytest.mark.integration

# A manager that launches one container, says so, and then waits to be killed.
MANAGER = """
import sys, threading
from microservo.platforms.driver import ContainerPlan
from microservo.platforms.local.remote_driver import RemoteDriver
url, token, tag, container, host = sys.argv[1:]
driver = RemoteDriver(url, token, managed_by=tag)
driver.launch(ContainerPlan(id=container, service="cart", host=host))
print("launched", flush=True)
threading.Event().wait()
"""


def host_up(driver: RemoteDriver) -> str:
    plan = host_plan()
    driver.start_host(plan)
    eventually(
        lambda: any(each.name == plan.name and each.up for each in driver.hosts()),
        timeout_s=TIMEOUT_S,
        what="the host being up",
    )
    return plan.name


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    with launcher_of(tmp_path, 'name = "one"\nentry = "cart"\n[services.cart.endpoints.Get]\n') as found:
        yield found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_driver_of_another_process_keeps_to(check: Check, launcher: Launcher) -> None:
    check(launcher.driver, "cart")


def test_containers_outlive_a_manager_that_is_killed_and_the_next_one_stops_them(launcher: Launcher) -> None:
    tag, driver = uuid.uuid4().hex, launcher.driver("another")
    plan = container_plan("cart", host_up(driver))
    argv = [sys.executable, "-c", MANAGER, launcher.url, launcher.token, tag, plan.id, plan.host]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as manager:
        try:
            assert manager.stdout is not None
            assert manager.stdout.readline() == "launched\n"
        finally:
            manager.kill()
    assert manager.returncode == -signal.SIGKILL
    successor = launcher.driver(tag)
    eventually(
        lambda: [(each.id, each.ready) for each in successor.containers()] == [(plan.id, True)],
        timeout_s=TIMEOUT_S,
        what="the container being ready after its manager's end",
    )
    assert list(driver.containers()) == []
    instance = read_state(launcher.folder / "target.json").instance(plan.id)
    assert instance is not None
    successor.stop(plan.id, 5.0)
    assert list(successor.containers()) == []
    assert instance.pid is not None
    assert not psutil.pid_exists(instance.pid)


def test_a_launcher_that_is_killed_takes_its_containers_along_and_the_next_one_begins_empty(
    launcher: Launcher,
) -> None:
    driver = launcher.driver("manager")
    driver.launch(container_plan("cart", host_up(driver)))
    processes = [psutil.Process(pid) for pid in pids_of(launcher)]
    killed = launcher.supervisor.pids()["launcher"]
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert alive == []
    eventually(
        lambda: launcher.supervisor.pids()["launcher"] not in (None, killed) and is_healthy(launcher.url),
        timeout_s=TIMEOUT_S,
        what="the launcher being back",
    )
    assert (list(driver.hosts()), list(driver.containers())) == ([], [])


def pids_of(launcher: Launcher) -> list[int]:
    """The pids of instances and sidecars, once they are written down."""

    def both() -> list[int]:
        # What was launched is written down a moment later.
        instances = read_state(launcher.folder / "target.json").instances
        return [pid for each in instances for pid in (each.pid, each.sidecar_pid) if pid is not None]

    eventually(lambda: len(both()) == 2, timeout_s=TIMEOUT_S, what="both pids")
    return both()


def test_a_second_launcher_of_the_same_folder_is_refused_and_ends_nothing(launcher: Launcher) -> None:
    driver = launcher.driver("manager")
    plan = container_plan("cart", host_up(driver))
    driver.launch(plan)
    before = pids_of(launcher)
    argv = [*python_argv("services.launcher"), "--topology", "crash-test", "--port", "0"]
    argv += ["--folder", str(launcher.folder)]
    second = subprocess.run(
        argv,
        env={**os.environ, VARIABLE: launcher.token},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (second.returncode, "another launcher" in second.stderr) == (2, True), second.stderr
    assert [each.exit_code for each in driver.containers()] == [None]
    assert pids_of(launcher) == before


def test_who_has_no_token_or_no_launcher_is_told_so(launcher: Launcher) -> None:
    with pytest.raises(InvalidInput, match="token"):
        RemoteDriver(launcher.url, "wrong", managed_by="manager").hosts()
    [port] = free_ports(1)
    with pytest.raises(Retryable, match="no answer"):
        RemoteDriver(f"http://127.0.0.1:{port}", "any", managed_by="manager").hosts()
