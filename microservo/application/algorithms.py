"""What can be asked for about algorithms."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microservo.application.catalogue_lists import from_catalogue
from microservo.application.command import Command, Context
from microservo.application.trained_on import training_for
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from schemas.records import AlgorithmDeployment, AlgorithmState

if TYPE_CHECKING:
    from microservo.algorithms import Plugin
    from microservo.log.publisher import Publisher

_FLUSH_S = 30.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployAlgorithm(Command[AlgorithmDeployment]):
    """Asks for an algorithm to run, beside others, from now on.

    Attributes:
        spec: a shipped kind, module:object, a .py file, a folder, a wheel or zip, or a TOML declaration.
        name: under which it is listed; that of the file, folder or kind if not given. One that is deployed
            is replaced by a new version once that has caught up.
        declared: keys of a declaration that count more than what the spec says, for example
            {"params": {"top_k": 5}, "signals": ["metrics"]}.
        threshold: scores above it are alarms; the declaration's own if not given, else found in the run's
            fault-free time.
        alarms_per_hour: false alarms that such a threshold aims at, of all services together.
        is_fenced: whether it runs where it can reach nothing.
        if_missing: leave what is deployed under the name as it is.
        train_on: folder of a dataset, or a run of the broker that is over, whose labelled cases a classifier
            is trained on: another run than the one that it watches.
    """

    spec: str
    name: str | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    alarms_per_hour: float = 1.0
    is_fenced: bool = True
    if_missing: bool = False
    train_on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlgorithm:
    """What is deployed under a name, and how far each of its versions has come, the newest first."""

    deployment: AlgorithmDeployment
    states: tuple[AlgorithmState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAlgorithms(Command[tuple[ListedAlgorithm, ...]]):
    """Asks for all that is deployed, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAlgorithm(Command[AlgorithmDeployment]):
    """Asks for an algorithm that was stopped to run again; it goes on from what it had learned."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAlgorithm(Command[AlgorithmDeployment]):
    """Asks for an algorithm to run no longer; what it has learned stays."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAlgorithm(Command[None]):
    """Asks for an algorithm to be forgotten, with all that it has learned; its scores stay on the log.

    So does the number of its version: what is deployed under its name later has a greater one.
    """

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmKind:
    """An algorithm that is shipped, described for people."""

    name: str
    task: str
    title: str
    what_it_is: str
    when_it_fails: str
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAlgorithmKinds(Command[tuple[AlgorithmKind, ...]]):
    """Asks for every algorithm that is shipped, or for the one of a name."""

    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitProject(Command[tuple[Path, ...]]):
    """Asks for a project to begin an algorithm with, in a folder that is empty or not there."""

    folder: Path


def deploy_algorithm(command: DeployAlgorithm, context: Context) -> AlgorithmDeployment:
    """Sends the deployment, and the algorithm's own files before it.

    Raises:
        InvalidInput: it can't be deployed; nothing was sent.
        Retryable: the broker is away for now.
    """
    from microservo.algorithms import resolve  # noqa: PLC0415  # loads NumPy, which most acts don't need

    with tempfile.TemporaryDirectory() as folder:
        plugin = resolve(command.spec, command.declared, unpack_to=Path(folder) / "unpacked")
        deployment = AlgorithmDeployment(
            algorithm=_checked_name(command.name or name_of_spec(command.spec)),
            version=1,
            task=plugin.declaration.task,
            title=plugin.declaration.title,
            declaration=json.dumps(plugin.declaration.document()),
            source=plugin.source,
            files_sha256="",
            training_sha256="",
            threshold=(
                plugin.declaration.threshold
                if command.threshold is None
                else checked_threshold(command.threshold)
            ),
            alarms_per_hour=command.alarms_per_hour,
            is_fenced=command.is_fenced,
            is_control=plugin.declaration.control,
            is_wanted=True,
            deployed_at_us=context.clock(),
        )
        content = _packed(plugin)
        training = training_for(plugin, command.train_on, context)
    known = _deployed(context).get(deployment.algorithm)
    if known is not None and command.if_missing:
        return known
    with _publisher(context) as publisher:
        if content is not None:
            from microservo.log.algorithm_files import publish_file  # noqa: PLC0415  # as above

            deployment = replace(deployment, files_sha256=publish_file(publisher, content))
            publisher.flush(_FLUSH_S)
        if training is not None:
            from microservo.log.algorithm_files import publish_file  # noqa: PLC0415  # as above

            deployment = replace(deployment, training_sha256=publish_file(publisher, training.pack()))
            publisher.flush(_FLUSH_S)
        deployment = replace(deployment, version=_next_version(deployment.algorithm, known, context))
        publisher.publish(deployment)
        if known is not None:
            # The version before it has what it runs beside it by now.
            _delete_files(known, context, publisher, keep=deployment)
    return deployment


def list_algorithms(_command: ListAlgorithms, context: Context) -> tuple[ListedAlgorithm, ...]:
    """The deployments with their states, by the catalogue where that is there, up to date and quicker."""
    found = from_catalogue(
        context.connection, (ALGORITHMS, ALGORITHM_STATES), lambda catalogue: catalogue.algorithms()
    )
    deployments, states = found or (_deployed(context).values(), _states(context))
    newest_first = sorted(states, key=lambda state: (-state.algorithm_version, state.deployment_id))
    return tuple(
        ListedAlgorithm(
            deployment=deployment,
            states=tuple(state for state in newest_first if state.algorithm == deployment.algorithm),
        )
        for deployment in sorted(deployments, key=lambda each: each.algorithm)
    )


def list_algorithm_kinds(command: ListAlgorithmKinds, _context: Context) -> tuple[AlgorithmKind, ...]:
    """The kinds, by task and name.

    Raises:
        InvalidInput: there is none of this name.
    """
    from microservo.algorithms.kinds import kinds  # noqa: PLC0415  # as above

    found = tuple(
        AlgorithmKind(
            name=kind.name,
            task=kind.plugin.declaration.task,
            title=kind.plugin.declaration.title,
            what_it_is=kind.plugin.declaration.what_it_is,
            when_it_fails=kind.plugin.declaration.when_it_fails,
            requires=kind.plugin.declaration.requires,
        )
        for kind in kinds()
    )
    if command.name is None:
        return found
    named = tuple(kind for kind in found if kind.name == command.name)
    if not named:
        msg = f"no algorithm {command.name!r} is shipped; there are: {', '.join(each.name for each in found)}"
        raise InvalidInput(msg)
    return named


def init_project(command: InitProject, _context: Context) -> tuple[Path, ...]:
    """The files that were written.

    Raises:
        InvalidInput: something lies there already, or it can't be written to.
    """
    from microservo.algorithms.project import write_project  # noqa: PLC0415  # as above

    return write_project(command.folder)


def start_algorithm(command: StartAlgorithm, context: Context) -> AlgorithmDeployment:
    """The deployment as it is then.

    Raises:
        InvalidInput: there is none of this name.
    """
    return _change(command.name, context, is_wanted=True)


def stop_algorithm(command: StopAlgorithm, context: Context) -> AlgorithmDeployment:
    """The deployment as it is then.

    Raises:
        InvalidInput: there is none of this name.
    """
    return _change(command.name, context, is_wanted=False)


def remove_algorithm(command: RemoveAlgorithm, context: Context) -> None:
    """Sends the end of it, and of its files unless another one has the same.

    Raises:
        InvalidInput: there is none of this name.
    """
    deployment = named_deployment(command.name, context)
    with _publisher(context) as publisher:
        publisher.delete(AlgorithmDeployment, command.name)
        _delete_files(deployment, context, publisher)


def _delete_files(
    deployment: AlgorithmDeployment,
    context: Context,
    publisher: Publisher,
    keep: AlgorithmDeployment | None = None,
) -> None:
    """Deletes the files of what is deployed no longer, unless what is deployed has the same."""
    from microservo.log.algorithm_files import delete_file  # noqa: PLC0415  # as above
    from schemas.catalogue import ALGORITHM_FILES  # noqa: PLC0415  # as above

    others = [each for name, each in _deployed(context).items() if name != deployment.algorithm]
    needed = {sha256 for each in (*others, *([keep] if keep else [])) for sha256 in _files(each)}
    for sha256 in sorted(_files(deployment) - needed):
        connection = context.connection
        delete_file(publisher, connection.broker, connection.topic(ALGORITHM_FILES), sha256)


def _files(deployment: AlgorithmDeployment) -> set[str]:
    """What it has on `algorithm-files`."""
    return {deployment.files_sha256, deployment.training_sha256} - {""}


def _change(name: str, context: Context, *, is_wanted: bool) -> AlgorithmDeployment:
    changed = replace(named_deployment(name, context), is_wanted=is_wanted)
    with _publisher(context) as publisher:
        publisher.publish(changed)
    return changed


def _next_version(name: str, known: AlgorithmDeployment | None, context: Context) -> int:
    """One that nothing was ever said under: versions go on where an algorithm was removed and comes back."""
    states = _states(context)
    said = [state.algorithm_version for state in states if state.algorithm == name]
    return max([known.version if known else 0, *said]) + 1


def _states(context: Context) -> tuple[AlgorithmState, ...]:
    connection = context.connection
    return tuple(read_state(connection.broker, connection.topic(ALGORITHM_STATES), AlgorithmState).values())


def _deployed(context: Context) -> dict[str, AlgorithmDeployment]:
    connection = context.connection
    return read_state(connection.broker, connection.topic(ALGORITHMS), AlgorithmDeployment)


def named_deployment(name: str, context: Context) -> AlgorithmDeployment:
    """What is deployed under a name.

    Raises:
        InvalidInput: nothing is.
    """
    deployed = _deployed(context)
    if name not in deployed:
        known = ", ".join(sorted(deployed)) or "none"
        msg = f"no algorithm {name!r} is deployed; there are: {known}"
        raise InvalidInput(msg)
    return deployed[name]


@contextmanager
def _publisher(context: Context) -> Iterator[Publisher]:
    """A publisher whose records are durable at the end of the block."""
    from microservo.log.publisher import Publisher  # noqa: PLC0415  # loads NumPy, which most acts don't need

    connection = context.connection
    with connection.broker.producer(linger_ms=0) as producer:
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=context.clock)
        yield publisher
        publisher.flush(_FLUSH_S)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        msg = (
            f"{name!r} can't be the name of an algorithm; expected up to 48 small letters, digits and "
            "dashes, for example my-detector; say another one with --name"
        )
        raise InvalidInput(msg)
    return name


def checked_threshold(score: float) -> float:
    """A score that others can be above and below.

    Raises:
        InvalidInput: it is infinite or NaN.
    """
    if not isfinite(score):
        msg = f"threshold {score}; expected a finite score, or none to have it found in fault-free time"
        raise InvalidInput(msg)
    return score


def name_of_spec(spec: str) -> str:
    """A name for what a spec points at: of the file, the folder, or the object."""
    last = spec.rpartition(":")[2] if ":" in spec else Path(spec).stem
    if spec.endswith(".whl"):
        last = last.partition("-")[0]  # behind it are version and platform
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", last)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _packed(plugin: Plugin) -> bytes | None:
    """The algorithm's own code as an archive; None where it has none, or it is shipped with every host."""
    if plugin.source == "shipped" or not plugin.code:
        return None
    from microservo.adapters.archive import pack  # noqa: PLC0415  # as above

    return pack(plugin.code)
