"""What every algorithm keeps to, and what it would get, for the tests of who writes one."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from microservo.algorithms.conformance import CheckResult, run_checks
from microservo.algorithms.sample import Sample
from microservo.algorithms.spec import Plugin, resolve
from microservo.algorithms.trial import Trial, try_on_sample
from microservo.algorithms.unfenced import unfenced_session

_LOG_BYTES = 2000


def check_algorithm(
    spec: str | Plugin,
    overrides: Mapping[str, Any] | None = None,
    *,
    python: str | Path = sys.executable,
) -> tuple[CheckResult, ...]:
    """Runs all checks on an algorithm, in a process of its own but without a fence.

    Args:
        spec: as of `microservo algorithm deploy`: a kind, module:object, file, folder or archive.
        overrides: keys of its declaration that count more.
        python: an interpreter that has what the algorithm requires.

    Returns:
        What each check found.

    Raises:
        AssertionError: some do not hold; it names each with the reason, and what the algorithm printed last.
        InvalidInput: there is no such algorithm.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        plugin = spec
        if isinstance(plugin, str):
            plugin = resolve(plugin, overrides, unpack_to=Path(folder) / "unpacked")
        found = plugin
        results = run_checks(lambda: unfenced_session(found, python, log), found.declaration)
        failed = [f"does not hold: {each.name}: {each.reason}" for each in results if not each.ok]
        if failed:
            log.seek(max(0, log.tell() - _LOG_BYTES))
            printed = log.read().decode("utf-8", "replace")
            raise AssertionError("\n".join([*failed, *([f"it printed: {printed}"] if printed else [])]))
    return results


def try_algorithm(
    spec: str | Plugin,
    overrides: Mapping[str, Any] | None = None,
    *,
    python: str | Path = sys.executable,
) -> Trial:
    """What a detector or ranker gets on the sample that is shipped, in a process of its own without a fence.

    Args:
        spec: as of `check_algorithm`.
        overrides: likewise.
        python: likewise.

    Returns:
        Its metrics, by the names that the board has for them.

    Raises:
        InvalidInput: there is no such algorithm, or it is a classifier.
        AlgorithmFailed: it can't be asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        plugin = (
            resolve(spec, overrides, unpack_to=Path(folder) / "unpacked") if isinstance(spec, str) else spec
        )
        with unfenced_session(plugin, python) as session:
            session.open()
            return try_on_sample(session, Sample.read())
