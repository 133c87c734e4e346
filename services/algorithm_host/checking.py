"""Whether an algorithm keeps to what every algorithm must, before it is fed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from microservo.adapters.files import write_whole
from microservo.algorithms import checking
from microservo.algorithms.running import Workplace
from microservo.errors import AlgorithmRefused
from microservo.supervision.environments import Environment

logger = logging.getLogger(__name__)

_CHECKED = "checked.json"


def check(workplace: Workplace, environment: Environment, folder: Path, beat: Callable[[], None]) -> None:
    """Runs all checks on an algorithm, unless this version of it passed them in this environment before.

    Raises:
        AlgorithmRefused: some do not hold; the message has each with its reason.
    """
    passed = {"environment": environment.sha256}
    if _document(folder / _CHECKED) == passed:
        return

    results = checking.check(workplace, environment, beat)
    for result in results:
        logger.info("check %s: %s", result.name, result.reason or "holds")
    if failed := [f"{each.name}: {each.reason}" for each in results if not each.ok]:
        msg = f"it fails {len(failed)} of {len(results)} checks: {'; '.join(failed)}"
        raise AlgorithmRefused(msg)
    write_whole(folder / _CHECKED, json.dumps(passed).encode())


def _document(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
