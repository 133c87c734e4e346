"""Builds a dataset on a shelf, and keeps on disk how far it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import psutil

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.processes import child_environment, python_argv
from microservo.datasets.collecting import collect
from microservo.datasets.draft import draft, writing
from microservo.datasets.excerpt import excerpt
from microservo.datasets.rebuilding import rebuild
from microservo.datasets.shelf import Shelf
from microservo.domain.datasets.shelf import Build, BuildRequest
from microservo.errors import InvalidInput, Unavailable

Progress = Callable[[float, float], None]
_WRITTEN_EVERY_S = 0.5
_NEVER_US = 1 << 62
_RUNS = "runs"


def build(
    broker: Broker,
    shelf: Shelf,
    name: str,
    request: BuildRequest,
    *,
    topic_prefix: str,
    progress: Progress,
    wait_s: float = 0.0,
) -> str:
    """Builds a dataset, and returns its content hash; its file says that it runs, has ended, or why not.

    Args:
        broker: where the run's topics are.
        shelf: where the dataset shall be.
        name: of the dataset.
        request: what it is made of.
        topic_prefix: put before every topic name.
        progress: called as (messages read, messages in all).
        wait_s: how long it is waited for another process that has claimed the name.

    Raises:
        InvalidInput: there is such a dataset, another process builds it, or there is no such run.
        MicroServoError: as `rebuild`.
    """
    with shelf.building(name, wait_s) as out_dir:
        found = _begun(name, request)
        shelf.write_build(found)
        written_s = monotonic()

        def advance(done: float, total: float) -> None:
            nonlocal found, written_s
            found = replace(found, done=round(done), total=round(total))
            progress(done, total)
            if monotonic() - written_s >= _WRITTEN_EVERY_S:
                shelf.write_build(found)
                written_s = monotonic()

        try:
            content_hash = _built(broker, out_dir, request, topic_prefix, advance)
        except BaseException as error:
            reason = str(error).split("\n", 1)[0] or type(error).__name__
            # What can't be written, as on a full disk, is seen as interrupted: its process is gone.
            with contextlib.suppress(Unavailable):
                _write_end(shelf, replace(found, state="failed", error=reason))
            raise
        _write_end(shelf, replace(found, state="finished", done=found.total))
    return content_hash


def start_build(
    shelf: Shelf, name: str, request: BuildRequest, *, program: str, settings: dict[str, str]
) -> int:
    """Starts a process of its own that builds a dataset, and returns its number.

    Args:
        shelf: where the dataset shall be.
        name: of the dataset.
        request: what it is made of.
        program: the module that builds it, given the shelf and the name.
        settings: how the process finds the broker, by variable of its environment.

    Raises:
        InvalidInput: as `build`.
        Unavailable: the place can't be written to.
    """
    with shelf.building(name):
        # Said before it is started: a process that dies at once is seen as interrupted, and not as nothing.
        shelf.write_build(_begun(name, request))
        with writing(shelf.folder), shelf.build_file(name, "log").open("wb") as log:
            process = subprocess.Popen(
                python_argv(program, str(shelf.folder.resolve()), name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Neither Ctrl-C nor the end of the terminal reaches it.
                start_new_session=True,
                env=child_environment(settings),
                cwd="/",
            )
        # Whoever started it may live on, and must not keep it as a zombie then.
        threading.Thread(target=process.wait, daemon=True).start()
        begun = _begun(name, request)
        shelf.write_build(replace(begun, pid=process.pid, process_started_s=_started_s(process.pid)))
    return process.pid


def _built(
    broker: Broker, out_dir: Path, request: BuildRequest, topic_prefix: str, progress: Progress
) -> str:
    """Builds what is asked for, and returns its content hash."""
    if request.from_us is not None and request.until_us is not None and request.from_us >= request.until_us:
        span = f"{request.from_us} and {request.until_us} (microseconds UTC)"
        msg = f"nothing is between {span}; give an end after its start"
        raise InvalidInput(msg)
    if len(request.run_ids) == 1:
        (run_id,) = request.run_ids
        return _built_run(broker, topic_prefix, run_id, out_dir, request=request, progress=progress)
    with draft(out_dir) as (folder, _):
        names = [f"{_RUNS}/{number:04d}" for number in range(1, len(request.run_ids) + 1)]
        for number, (name, run_id) in enumerate(zip(names, request.run_ids, strict=True)):
            share = _Share(progress, number, len(names))
            _built_run(broker, topic_prefix, run_id, folder / name, request=request, progress=share)
        with writing(out_dir):
            return collect(folder, names).content_hash


class _Share:
    """Shows how far one of several runs is as a share of all; they count alike."""

    def __init__(self, progress: Progress, number: int, count: int) -> None:
        self._progress, self._number, self._count = progress, number, count

    def __call__(self, done: float, total: float) -> None:
        self._progress(self._number * total + done, self._count * total)


def _built_run(
    broker: Broker,
    topic_prefix: str,
    run_id: str,
    out_dir: Path,
    *,
    request: BuildRequest,
    progress: Progress,
) -> str:
    if request.from_us is None and request.until_us is None:
        manifest = rebuild(
            broker, run_id=run_id, out_dir=out_dir, topic_prefix=topic_prefix, progress=progress
        )
        return manifest.content_hash
    from_us = request.from_us or 0
    until_us = _NEVER_US if request.until_us is None else request.until_us
    with draft(out_dir) as (folder, scratch):
        # A window depends on what came before it, so that the whole run is read.
        whole = scratch / "whole"
        rebuild(broker, run_id=run_id, out_dir=whole, topic_prefix=topic_prefix, progress=progress)
        with writing(out_dir):
            return excerpt(whole, folder, from_us, until_us).content_hash


def _begun(name: str, request: BuildRequest) -> Build:
    return Build(
        name=name,
        request=request,
        state="running",
        pid=os.getpid(),
        process_started_s=_started_s(os.getpid()),
        began_us=now_us(),
    )


def _started_s(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _write_end(shelf: Shelf, found: Build) -> None:
    shelf.write_build(replace(found, ended_us=now_us()))
