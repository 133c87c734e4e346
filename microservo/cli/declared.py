"""The options by which people say more of an algorithm than its SPEC does; they count more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from microservo.cli.values import parameters_of

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="Argument of the object, as JSON or text; repeat.",
    ),
    click.option(
        "--pre",
        multiple=True,
        metavar="MODULE:OBJECT[,NAME=VALUE]...",
        help="Transformer before it, and its arguments; repeat, in order.",
    ),
    click.option(
        "--signals", metavar="LIST", help="What it is given, and nothing else: some of metrics,logs,traces."
    ),
    click.option(
        "--per", type=click.Choice(["service", "feature", "system"]), help="What one object watches."
    ),
    click.option(
        "--requires", multiple=True, metavar="PKG==V", help="Requirement of its environment; repeat."
    ),
    click.option("--python", metavar="VERSION", help="Version of Python of its environment, as 3.12."),
    click.option("--cpus", type=float, metavar="NUMBER", help="Processors that it may keep busy."),
    click.option("--memory", metavar="SIZE", help="Memory that it may use, as 512M."),
    click.option("--seed", type=int, metavar="NUMBER", help="Of what is random in it."),
)

train_on_option = click.option(
    "--train-on",
    metavar="DATASET|RUN",
    help="Folder of a dataset of another run, or that run, for a classifier to be trained on.",
)


def declared_options(command: Decorated) -> Decorated:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def declared_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a declaration, of the options that were given.

    Raises:
        click.UsageError: a pair is none, or comes twice.
    """
    found = {key: value for key, value in given.items() if value is not None and value != ()}
    if "params" in found:
        found["params"] = _values(found["params"])
    if "pre" in found:
        found["pre"] = [_step(text) for text in found["pre"]]
    if "requires" in found:
        found["requires"] = list(found["requires"])
    if "signals" in found:
        found["signals"] = [each.strip() for each in found["signals"].split(",")]
    return found


def _step(text: str) -> dict[str, Any]:
    reference, *pairs = text.split(",")
    return {"object": reference.strip(), "params": _values([pair.strip() for pair in pairs], "--pre")}


def _values(pairs: Sequence[str], option: str = "--param") -> dict[str, Any]:
    return {key: _value(text) for key, text in parameters_of(pairs, option, "top_k=5").items()}


def _value(text: str) -> Any:
    """A value as JSON has it, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
