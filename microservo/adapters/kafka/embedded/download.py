"""The embedded broker's jars: fetched once by Maven coordinate, checked against the lock, then cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import filelock
from jgo.maven import MavenContext

from microservo.adapters.files import writable
from microservo.adapters.kafka.embedded.lock import KAFKA_VERSION, Pin, kafka_pins, sha256_of
from microservo.errors import Fatal, Unavailable

Progress = Callable[[int, int], None]
"""Called with (jars done, jars in all), from the thread that asked."""

Fetch = Callable[[Pin, Path], Path]
"""Fetches one jar into a folder and returns its path there."""

_THREADS = 8
_ATTEMPTS = 3
_RETRY_AFTER_S = 1
_TIMEOUT_S = 30


def default_cache_dir() -> Path:
    """`MICROSERVO_CACHE`, or the `microservo` folder of the XDG cache folder."""
    if own := os.environ.get("MICROSERVO_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microservo"


def jars(
    cache_dir: Path,
    progress: Progress = lambda done, total: None,
    *,
    pins: Sequence[Pin] | None = None,
    fetch: Fetch | None = None,
) -> list[Path]:
    """The jars of the lock, in its order, fetched where the cache lacks them.

    Several processes may ask at once: one fetches, the others wait for it. A fetch that was cut short goes on
    where it stopped. Jars are hashed when they arrive and then trusted for as long as size and time of change
    stay the same.

    Args:
        cache_dir: the cache's root; made where missing.
        progress: called with how many jars are there, and of how many; at the end in any case.
        pins: what to fetch; the shipped lock where None.
        fetch: how to fetch one; `jgo` from Maven Central where None.

    Raises:
        Unavailable: a jar can't be fetched, or the cache can't be written.
        Fatal: a jar that was fetched is not the pinned one.
    """
    pins = kafka_pins() if pins is None else pins
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    paths = [folder / pin.filename for pin in pins]
    if not _verified(folder, pins):
        with writable(folder, "set MICROSERVO_CACHE to a folder that can"), _locked(folder):
            # Looked at once more: another process may have filled it while this one waited for the lock.
            if not _verified(folder, pins):
                _fill(folder, pins, progress, fetch or _from_maven)
                _mark_verified(folder, pins)
    progress(len(pins), len(pins))
    return paths


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the folder, which is made where missing; the system releases the lock when the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / ".lock"):
        yield


def _fingerprint(folder: Path, pins: Sequence[Pin]) -> dict[str, list[object]] | None:
    """What the marker must say: pin, size and time of change of each jar; None where one is missing."""
    try:
        stats = {pin: (folder / pin.filename).stat() for pin in pins}
    except OSError:
        return None
    return {pin.filename: [pin.sha256, stat.st_size, stat.st_mtime_ns] for pin, stat in stats.items()}


def _verified(folder: Path, pins: Sequence[Pin]) -> bool:
    try:
        marker = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(marker == _fingerprint(folder, pins))


def _mark_verified(folder: Path, pins: Sequence[Pin]) -> None:
    incoming = folder / "verified.json.new"
    incoming.write_text(json.dumps(_fingerprint(folder, pins)), encoding="utf-8")
    incoming.replace(folder / "verified.json")


def _fill(folder: Path, pins: Sequence[Pin], progress: Progress, fetch: Fetch) -> None:
    cancelled = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as incoming,
        ThreadPoolExecutor(_THREADS, thread_name_prefix="jars") as pool,
    ):
        futures = [pool.submit(_ensure, pin, folder, Path(incoming), fetch, cancelled) for pin in pins]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done, len(pins))
        except BaseException:
            cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise
    _remove_leftovers(folder)


def _remove_leftovers(folder: Path) -> None:
    """Removes what a fetch that was killed left; the lock is ours, so none is in use."""
    for leftover in folder.glob(".incoming-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _ensure(pin: Pin, folder: Path, incoming: Path, fetch: Fetch, cancelled: threading.Event) -> None:
    target = folder / pin.filename
    if target.exists() and sha256_of(target) == pin.sha256:
        return
    arrived = _fetched(pin, incoming, fetch, cancelled)
    found = sha256_of(arrived)
    if found != pin.sha256:
        msg = (
            f"{pin} was fetched with SHA-256 {found}, expected {pin.sha256}; "
            "it is refused: look for a proxy that alters downloads"
        )
        raise Fatal(msg)
    arrived.replace(target)


def _fetched(pin: Pin, incoming: Path, fetch: Fetch, cancelled: threading.Event) -> Path:
    reason: Exception | None = None
    for attempt in range(_ATTEMPTS):
        if cancelled.wait(attempt * _RETRY_AFTER_S):
            break
        try:
            # A folder per attempt: jgo refuses to write over what a broken attempt left.
            folder = incoming / hashlib.sha256(f"{pin}{attempt}".encode()).hexdigest()[:16]
            return fetch(pin, folder)
        # jgo says RuntimeError of a jar that no repository has; requests' own errors are OSErrors.
        except (OSError, RuntimeError) as exc:
            reason = exc
    msg = (
        f"{pin} of the embedded broker can't be fetched ({reason}); other ways: "
        "set MICROSERVO_BOOTSTRAP_SERVERS to your own Kafka, or run `docker compose up`"
    )
    raise Unavailable(msg) from reason


def _from_maven(pin: Pin, folder: Path) -> Path:
    context = MavenContext(repo_cache=folder, timeout=_TIMEOUT_S)
    artifact = context.project(pin.group, pin.artifact).at_version(pin.version).artifact()
    return Path(artifact.resolve())
