"""Whether an algorithm keeps to what every algorithm must, before it is fed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from microservo.adapters.files import write_whole
from microservo.algorithms import checking, conformance
from microservo.algorithms.running import Workplace
from microservo.algorithms.unfenced import FENCED
from microservo.errors import AlgorithmRefused
from microservo.supervision.environments import Environment

logger = logging.getLogger(__name__)

_CHECKS = Path(conformance.__file__).parent


def check(workplace: Workplace, environment: Environment, passed: Path, beat: Callable[[], None]) -> None:
    """Runs all checks on an algorithm, unless one of the same code, declaration and environment passed them.

    Args:
        workplace: where it runs.
        environment: its environment.
        passed: folder that says who has passed; all hosts of a machine share it.
        beat: called as it goes on.

    Raises:
        AlgorithmRefused: some do not hold; the message has each with its reason.
    """
    mark = passed / f"{_identity(workplace, environment)}.json"
    if mark.exists():
        return

    results = checking.check(workplace, environment, beat)
    for result in results:
        logger.info("check %s: %s", result.name, result.reason or "holds")
    if failed := [f"{each.name}: {each.reason}" for each in results if not each.ok]:
        msg = f"it fails {len(failed)} of {len(results)} checks: {'; '.join(failed)}"
        raise AlgorithmRefused(msg)
    write_whole(mark, json.dumps({each.name: each.reason for each in results}, indent=2).encode())


def _identity(workplace: Workplace, environment: Environment) -> str:
    """Of all that the result of the checks comes from: the algorithm, what it runs in, the checks."""
    content = hashlib.sha256()
    declaration = json.dumps(workplace.plugin.declaration.document(), sort_keys=True)
    for text in (declaration, environment.sha256, *workplace.holds):
        content.update(text.encode() + b"\0")
    for place in (*workplace.plugin.code, FENCED, _CHECKS):
        for name, file in _files(place):
            content.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """Each file of a file or folder, by its name there."""
    if place.is_file():
        yield place.name, place
        return
    for file in sorted(place.rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            yield f"{place.name}/{file.relative_to(place)}", file
