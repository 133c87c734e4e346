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
        "--task",
        type=click.Choice(["detector", "ranker", "classifier"]),
        help="What it does, where SPEC doesn't show it.",
    ),
    click.option(
        "--signals", metavar="LIST", help="What it is given, and nothing else: some of metrics,logs,traces."
    ),
    click.option(
        "--only", multiple=True, metavar="PATTERN", help="Features that it is given, as 'request/*'; repeat."
    ),
    click.option(
        "--features", type=click.Choice(["complete", "raw"]), help="Completed, or as the window came."
    ),
    click.option(
        "--per", type=click.Choice(["service", "feature", "system"]), help="What one object watches."
    ),
    click.option(
        "--kinds", metavar="LIST", help="Whose windows it gets: some of service,host,load_generator."
    ),
    click.option(
        "--sign", type=click.Choice(["1", "-1"]), help="-1 where its own lower scores are more anomalous."
    ),
    click.option(
        "--batch",
        multiple=True,
        metavar="NAME=WINDOWS",
        help="How what is fitted on tables is fitted: warm_up, refit, buffer; repeat.",
    ),
    click.option(
        "--requires", multiple=True, metavar="PKG==V", help="Requirement of its environment; repeat."
    ),
    click.option("--python", metavar="VERSION", help="Version of Python of its environment, as 3.12."),
    click.option("--cpus", type=float, metavar="NUMBER", help="Processors that it may keep busy."),
    click.option("--memory", metavar="SIZE", help="Memory that it may use, as 512M."),
    click.option("--disk", metavar="SIZE", help="Files that it may write, as 64M."),
    click.option("--deadline", type=float, metavar="SECONDS", help="Wall time that one answer may take."),
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
    if "batch" in found:
        found["batch"] = _values(found["batch"], "--batch", "warm_up=64")
    if "pre" in found:
        found["pre"] = [_step(text) for text in found["pre"]]
    for key in ("requires", "only"):
        if key in found:
            found[key] = list(found[key])
    for key in ("signals", "kinds"):
        if key in found:
            found[key] = [each.strip() for each in found[key].split(",")]
    if "sign" in found:
        found["sign"] = int(found["sign"])
    return found


def _step(text: str) -> dict[str, Any]:
    reference, *pairs = text.split(",")
    return {"object": reference.strip(), "params": _values([pair.strip() for pair in pairs], "--pre")}


def _values(pairs: Sequence[str], option: str = "--param", example: str = "top_k=5") -> dict[str, Any]:
    return {key: _value(text) for key, text in parameters_of(pairs, option, example).items()}


def _value(text: str) -> Any:
    """A value as JSON has it, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
