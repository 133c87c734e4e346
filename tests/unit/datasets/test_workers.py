"""A worker that dies is named, and its errors arrive as they were."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from microservo.adapters.kafka import KafkaSettings
from microservo.datasets.share import Share
from microservo.datasets.workers import Workers
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import Fatal, OffsetGap, Unavailable
from microservo.testing import eventually

SHARE = Share(
    run_id="run-1",
    prefix="",
    policy=WindowPolicy(),
    writers=(),
    partition_numbers=[0],
    ranges={},
    from_us=0,
    is_over=True,
    batch=1,
)
NOBODY = KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=1)


def forkers() -> list[psutil.Process]:
    """What starts workers."""
    return [each for each in psutil.Process().children() if "microservo.datasets.worker" in each.cmdline()]


def has_ended(pid: int) -> bool:
    """Whether nothing runs under this number any more; who has to be told of its end may take a while."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def worker_pids() -> list[int]:
    return sorted(worker.pid for each in forkers() for worker in each.children())


@pytest.mark.parametrize("size", [1, 100_000], ids=["small task", "task that fills the pipe"])
def test_a_worker_that_is_killed_is_named_and_never_taken_for_a_closed_terminal(
    tmp_path: Path, size: int
) -> None:
    share = replace(SHARE, prefix="x" * size)
    with Workers(1) as workers:
        os.kill(eventually(worker_pids, what="a worker")[0], signal.SIGKILL)
        workers.assign(NOBODY, [share], tmp_path)
        with pytest.raises(Fatal, match=r"worker 1 of 1 of the rebuild \(process \d+\) was killed"):
            list(workers.steps())
    assert (forkers(), list(tmp_path.iterdir())) == ([], [])


def test_workers_go_on_without_the_process_that_started_them_and_their_end_is_told(tmp_path: Path) -> None:
    with Workers(1) as workers:
        [pid] = eventually(worker_pids, what="a worker")
        [forker] = forkers()
        forker.kill()
        workers.assign(NOBODY, [SHARE], tmp_path)
        with pytest.raises(Unavailable):
            list(workers.steps())
    with Workers(1) as workers:
        [pid] = eventually(worker_pids, what="a worker")
        [forker] = forkers()
        forker.kill()
        os.kill(pid, signal.SIGKILL)
        workers.assign(NOBODY, [SHARE], tmp_path)
        with pytest.raises(Fatal, match="and the process that started it are gone"):
            list(workers.steps())
    eventually(lambda: has_ended(pid), what="the worker to end")


def test_an_error_of_a_worker_keeps_its_kind_and_its_words(tmp_path: Path) -> None:
    with Workers(1) as workers:
        workers.assign(NOBODY, [SHARE], tmp_path)
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            list(workers.steps())


def test_modules_in_the_users_folder_never_stand_in_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "schemas.py").write_text("raise SystemExit('the user\\'s own')\n")
    monkeypatch.chdir(tmp_path)
    with Workers(1) as workers:
        workers.assign(NOBODY, [SHARE], tmp_path)
        with pytest.raises(Unavailable):
            list(workers.steps())


def test_a_gap_survives_pickling() -> None:
    gap = OffsetGap("t", 0, 3, 5)
    copy = pickle.loads(pickle.dumps(gap))  # noqa: S301
    assert (type(copy), str(copy)) == (OffsetGap, str(gap))
