"""What a shell completes for names of algorithms, metrics, tasks, formats; quick, and without a broker."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from microservo.cli.session import Session
from microservo.domain.datasets.formats import FORMATS
from microservo.errors import MicroServoError
from microservo.supervision.system_file import DEFAULT_SYSTEM, running_system, system_dir

FOLDER_VARIABLE = "MICROSERVO_ALGORITHMS_FOLDER"


def complete_kind(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kinds that are shipped, with their titles."""
    from microservo.application.algorithms import ListAlgorithmKinds  # noqa: PLC0415  # loads NumPy

    kinds = Session().execute(ListAlgorithmKinds())
    return [CompletionItem(each.name, help=each.title) for each in kinds if each.name.startswith(incomplete)]


def complete_topology(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The topologies that are shipped, and files."""
    from microservo.application.topologies import shipped_topologies  # noqa: PLC0415  # loads pydantic

    names = [CompletionItem(name) for name in shipped_topologies() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


def complete_format(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The formats that a dataset can be exported in, and what each is."""
    return [
        CompletionItem(name, help=title) for name, title in FORMATS.items() if name.startswith(incomplete)
    ]


def complete_entity_kind(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The kinds of the manager's entities."""
    from microservo.domain.manager.entities import KINDS  # noqa: PLC0415  # loads pydantic

    return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]


def complete_entity(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kinds of the manager's entities, each with the slash that stands before the name."""
    return [CompletionItem(f"{each.value}/") for each in complete_entity_kind(ctx, param, incomplete)]


def complete_policy(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The placement policies of this installation."""
    from microservo.domain.manager.policies import policy_names  # noqa: PLC0415  # loads NumPy

    return [CompletionItem(name) for name in policy_names() if name.startswith(incomplete)]


def complete_spec(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kinds that are shipped, and files and folders."""
    return [*complete_kind(ctx, param, incomplete), CompletionItem(incomplete, type="file")]


def complete_metric(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The metrics of boards, with their titles."""
    from microservo.domain.scoring import METRICS  # noqa: PLC0415  # loads NumPy

    found = METRICS.values()
    return [CompletionItem(each.name, help=each.title) for each in found if each.name.startswith(incomplete)]


def complete_deployed(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The algorithms that run, or ran, on this machine in the system that is meant."""
    from microservo.application.algorithm_logs import versions_here  # noqa: PLC0415  # as above

    names = [] if (folder := _folder(ctx)) is None else versions_here(folder)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_task(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The evaluation tasks that this machine works on, or did since its system was started."""
    from microservo.system.options import Folders  # noqa: PLC0415  # loads NumPy

    try:
        folder = Folders(system_dir(ctx.find_root().params.get("system") or DEFAULT_SYSTEM)).tasks
    except MicroServoError:
        return []
    names = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _folder(ctx: click.Context) -> Path | None:
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder)
    try:
        system = running_system(ctx.find_root().params.get("system") or DEFAULT_SYSTEM)
    except MicroServoError:
        return None
    return Path(system.algorithms_dir) if system is not None and system.algorithms_dir else None
