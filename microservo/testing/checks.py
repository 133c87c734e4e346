"""Suites of checks that an extension runs on what it made, with pytest or without.

A check is a function whose name is the sentence that must hold; it raises AssertionError where it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from types import ModuleType
from typing import Any

Check = Callable[..., None]


def checks_in(*modules: ModuleType) -> tuple[Check, ...]:
    """The checks that some modules define: all their public functions, in order."""
    return tuple(
        value
        for module in modules
        for name, value in vars(module).items()
        if isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    )


def sentence(check: Check) -> str:
    """What a check says, in words."""
    return check.__name__.replace("_", " ")


def run_checks(checks: Iterable[Check], arguments: Callable[[], tuple[Any, ...]]) -> None:
    """Runs all checks, each with arguments of its own.

    Raises:
        ExceptionGroup: of what was raised, each with the sentence that does not hold as a note.
    """
    failures = []
    count = 0
    for check in checks:
        count += 1
        try:
            check(*arguments())
        except Exception as error:  # whatever an extension raises is a finding
            error.add_note(f"does not hold: {sentence(check)}")
            failures.append(error)
    if failures:
        msg = f"{len(failures)} of {count} checks failed"
        raise ExceptionGroup(msg, failures)


@contextmanager
def refused(kind: type[Exception], words: str = "") -> Iterator[None]:
    """Passes if the block raises an error of a kind, in which these words (a regular expression) occur.

    Raises:
        AssertionError: it raised nothing, or said something else.
    """
    problem = "nothing was raised"
    try:
        yield
    except kind as error:
        problem = "" if re.search(words, str(error)) else f"{str(error)!r} was said"
    if problem:
        msg = f"{problem}, expected {kind.__name__} with {words!r}"
        raise AssertionError(msg)
