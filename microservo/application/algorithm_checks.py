"""Checking an algorithm, and trying it on the sample that is shipped: nothing is deployed, no system runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microservo.application.command import Command, Context
from microservo.supervision.system_file import environments_folder

if TYPE_CHECKING:
    from microservo.algorithms.conformance import CheckResult
    from microservo.algorithms.running import Workplace
    from microservo.algorithms.spec import Plugin
    from microservo.algorithms.trial import Trial
    from microservo.supervision.environments import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAlgorithm(Command["tuple[CheckResult, ...]"]):
    """Tries what every algorithm must keep to; nothing is deployed.

    Attributes:
        spec: as of `DeployAlgorithm`.
        declared: likewise.
        is_fenced: whether it is tried where it can reach nothing.
    """

    spec: str
    declared: Mapping[str, Any] = field(default_factory=dict)
    is_fenced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAlgorithm(Command["Mapping[str, Trial]"]):
    """Tries an algorithm on the sample, beside shipped ones that it has to beat; attributes as above."""

    spec: str
    declared: Mapping[str, Any] = field(default_factory=dict)
    is_fenced: bool = True


def check_algorithm(command: CheckAlgorithm, context: Context) -> tuple[CheckResult, ...]:
    """What each check found.

    Raises:
        InvalidInput: there is no such algorithm.
        Unavailable: its environment, or a fence, can't be had here.
    """
    from microservo.algorithms.checking import check  # noqa: PLC0415  # loads NumPy, which most acts don't need

    with (
        _workplace(command, context) as (workplace, environment),
        context.progress.stage("checks"),
    ):
        return check(workplace, environment)


def try_algorithm(command: TryAlgorithm, context: Context) -> Mapping[str, Trial]:
    """What it would get, and the others, by name; its own spec comes first. Empty for a classifier.

    Raises:
        InvalidInput: there is no such algorithm.
        Unavailable: its environment, or a fence, can't be had here.
        AlgorithmFailed: it can't be asked.
    """
    from microservo.algorithms.sample import Sample  # noqa: PLC0415  # as above
    from microservo.algorithms.trial import BESIDE, try_on_sample  # noqa: PLC0415  # as above

    found: dict[str, Trial] = {}
    sample = Sample.read()
    waiting = [command]
    while waiting:
        each = waiting.pop(0)
        with _workplace(each, context) as (workplace, environment):
            declaration = workplace.plugin.declaration
            beside = BESIDE.get(declaration.task)
            if beside is None:
                return {}
            if each is command:
                others = [name for name in beside if name != command.spec]
                waiting = [TryAlgorithm(spec=name, is_fenced=command.is_fenced) for name in others]
            with (
                context.progress.stage(f"{each.spec} on the sample"),
                workplace.running(environment) as running,
            ):
                running.session.open()
                found[each.spec] = try_on_sample(running.session, sample)
    return found


@contextmanager
def _workplace(
    command: CheckAlgorithm | TryAlgorithm, context: Context
) -> Iterator[tuple[Workplace, Environment]]:
    """Where an algorithm runs for as long as the block lasts, and its environment."""
    from microservo.algorithms import resolve  # noqa: PLC0415  # as above
    from microservo.algorithms.running import Workplace  # noqa: PLC0415  # as above
    from microservo.supervision.environments import EnvironmentCache  # noqa: PLC0415  # as above
    from microservo.supervision.fence import Fence  # noqa: PLC0415  # as above
    from microservo.supervision.fence_unfenced import Unfenced  # noqa: PLC0415  # as above

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        found = resolve(command.spec, command.declared, unpack_to=folder / "unpacked")
        plugin = _as_deployed(found, folder)
        fence = Fence.find() if command.is_fenced else Unfenced()
        workplace = Workplace(plugin, fence, EnvironmentCache(environments_folder()), folder)
        with context.progress.stage("environment"):
            environment = workplace.environment()
        with environment:
            yield workplace, environment


def _as_deployed(plugin: Plugin, folder: Path) -> Plugin:
    """The same with its code as it would arrive where it runs, wherever it lies now.

    Raises:
        InvalidInput: it could not be sent.
    """
    from microservo.adapters.archive import pack, unpack  # noqa: PLC0415  # as above

    if plugin.source == "shipped" or not plugin.code:
        return plugin
    archive, code = folder / "code.zip", folder / "code"
    archive.write_bytes(pack(plugin.code))
    unpack(archive, code)
    # An ordinary user reads it behind the fence.
    for path in (code, *code.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return replace(plugin, code=tuple(sorted(code.iterdir())))
