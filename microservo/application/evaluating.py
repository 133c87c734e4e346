"""Evaluating an algorithm on a recorded run or a dataset."""

# Handlers load NumPy when they are called: it takes a while, and most who talk to a system never need it.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microservo.adapters.files import writable
from microservo.application.algorithms import checked_threshold, name_of_spec
from microservo.application.command import Command, Context
from microservo.application.documents import to_json
from microservo.application.runs import LATEST_RUN, run_id_of
from microservo.application.trained_on import training_for
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from microservo.supervision.system_file import environments_folder
from schemas.catalogue import ALGORITHM_FILES, ALGORITHMS
from schemas.records import AlgorithmDeployment, Evaluation, LabelledWindow

if TYPE_CHECKING:
    from microservo.algorithms import Plugin
    from microservo.algorithms.running import Running
    from microservo.algorithms.training import Training
    from microservo.application.replay import Advance, Recording
    from microservo.supervision.environments import EnvironmentCache
    from microservo.supervision.fence_process import FencedProcess

_STEP = 1000
"""Records between two looks at the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateAlgorithm(Command[Evaluation]):
    """Sends the windows of a recorded run through an algorithm at full speed, and asks how good it is.

    Nothing is deployed and nothing published. For one that is deployed, on the run that it scored from its
    begin, it is what stands on the board, to the last digit.

    Attributes:
        spec: the name of what is deployed on the broker that a run is read from; else as of
            `DeployAlgorithm`.
        run_id: one of `ListRuns`, or "latest".
        dataset: folder of a dataset, instead of a run; needs no broker.
        from_at: windows that end by then are learned from, but not judged.
        to_at: windows that end later are left out.
        declared: as of `DeployAlgorithm`; not for what is deployed.
        threshold: likewise.
        alarms_per_hour: likewise.
        is_fenced: whether it runs where it can reach nothing.
        train_on: as of `DeployAlgorithm`; not for what is deployed.
        version: which of what is deployed it has to be; any if not given.
        environments: folder of the environments that algorithms require; the user's own if not given.
        answers: file that gets what the algorithm says, as JSON, a record a line: scores and alarms, root
            causes, or failure classes.
    """

    spec: str
    run_id: str = LATEST_RUN
    dataset: Path | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    alarms_per_hour: float = 1.0
    is_fenced: bool = True
    version: int | None = None
    environments: Path | None = None
    train_on: str | None = None
    answers: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is evaluated: its code, what a deployment of it says, and what it is trained on."""

    plugin: Plugin
    deployment: AlgorithmDeployment
    training: Training | None


def evaluate_algorithm(command: EvaluateAlgorithm, context: Context) -> Evaluation:
    """How good it is, with all metrics, breakdowns and intervals.

    Raises:
        InvalidInput: there is no such algorithm, version, run or dataset, or nothing in it to judge by.
        Unavailable: its environment, or a fence, can't be had here.
        AlgorithmFailed: it broke down.
    """
    from microservo.application.replay import replay
    from microservo.domain.evaluation import RunEvaluation
    from microservo.supervision.environments import EnvironmentCache

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # An ordinary user reads what is unpacked, behind the fence.
        folder.chmod(0o755)
        recording = _recording(command, context)
        subject = _subject(command, context, folder)
        from_us, until_us = _us(command.from_at) or 0, _us(command.to_at)
        evaluation = RunEvaluation(
            recording.run.run_id,
            name=recording.name + _part(command),
            from_us=from_us,
            until_us=until_us,
        )
        evaluation.add(recording.run)
        windows: set[tuple[str, int]] = set()
        with context.progress.stage("labels") as stage:
            for number, record in enumerate(recording.facts()):
                evaluation.add(record)
                if isinstance(record, LabelledWindow) and (until_us is None or record.end_us <= until_us):
                    windows.add((record.service, record.start_us))
                if number % _STEP == 0:
                    stage.advance(number, 0)
        evaluation.add(subject.deployment)
        environments = EnvironmentCache(command.environments or environments_folder())
        with (
            _answers_to(command.answers) as hear,
            _running(subject, folder, environments, context) as running,
        ):
            if subject.training is not None:
                subject.training.teach(running.session, recording.run.run_id)
            with context.progress.stage("windows") as stage:
                replay(
                    recording,
                    running.session,
                    subject.deployment,
                    evaluation,
                    until_us=until_us,
                    windows=len(windows),
                    advance=_holding(running.fenced, stage.advance),
                    hear=hear,
                )
            cpu_us, memory = round(running.fenced.cpu_s() * 1e6), running.fenced.peak_memory_bytes()
        with context.progress.stage("metrics"):
            is_over = recording.run.status != "running"
            found = list(evaluation.evaluations(at_us=context.clock(), cost="batch", is_final=is_over))
    if not found:
        msg = f"nothing can be judged in {recording.name}: it has no labelled windows, or none was scored"
        raise InvalidInput(msg)
    return replace(
        found[0],
        is_fenced=subject.deployment.is_fenced,
        cpu_us=cpu_us,
        peak_memory_bytes=memory,
        latency_p99_us=None,
    )


def _recording(command: EvaluateAlgorithm, context: Context) -> Recording:
    if command.dataset is not None:
        from microservo.datasets.recording import RecordedDataset

        return RecordedDataset(command.dataset)
    from microservo.log.recorded_run import RecordedRun

    connection = context.connection
    run_id = run_id_of(command.run_id, context)
    return RecordedRun(connection.broker, run_id, connection.topic_prefix)


def _subject(command: EvaluateAlgorithm, context: Context, folder: Path) -> _Subject:
    """What is deployed under this name, where a run is read from a broker; else what the spec says."""
    if command.dataset is None:
        connection = context.connection
        deployed = read_state(connection.broker, connection.topic(ALGORITHMS), AlgorithmDeployment)
        deployment = deployed.get(command.spec)
        if command.version is not None and (deployment is None or deployment.version != command.version):
            now = "nothing is" if deployment is None else f"version {deployment.version} is by now"
            msg = f"{command.spec}@{command.version} is deployed no longer: {now}; a rerun takes what is"
            raise InvalidInput(msg)
        if deployment is not None and not command.declared:
            from microservo.algorithms.deployed import plugin_of

            plugin = plugin_of(deployment, connection.broker, connection.topic(ALGORITHM_FILES), folder)
            training = (
                _deployed_training(deployment, context, folder)
                if command.train_on is None
                else training_for(plugin, command.train_on, context)
            )
            return _Subject(plugin=plugin, deployment=_asked(deployment, command), training=training)
    return _resolved(command, context, folder)


def _asked(deployment: AlgorithmDeployment, command: EvaluateAlgorithm) -> AlgorithmDeployment:
    """What is deployed, with what is asked to be otherwise this time."""
    return replace(
        deployment,
        threshold=deployment.threshold if command.threshold is None else checked_threshold(command.threshold),
        is_fenced=deployment.is_fenced and command.is_fenced,
    )


def _resolved(command: EvaluateAlgorithm, context: Context, folder: Path) -> _Subject:
    from microservo.algorithms import resolve

    plugin = resolve(command.spec, command.declared, unpack_to=folder / "unpacked")
    declaration = plugin.declaration
    deployment = AlgorithmDeployment(
        algorithm=name_of_spec(command.spec),
        version=1,
        task=declaration.task,
        title=declaration.title,
        declaration=json.dumps(declaration.document()),
        source=plugin.source,
        files_sha256="",
        training_sha256="",
        threshold=(
            declaration.threshold if command.threshold is None else checked_threshold(command.threshold)
        ),
        alarms_per_hour=command.alarms_per_hour,
        is_fenced=command.is_fenced,
        is_control=declaration.control,
        is_wanted=True,
        deployed_at_us=context.clock(),
    )
    return _Subject(
        plugin=plugin, deployment=deployment, training=training_for(plugin, command.train_on, context)
    )


def _deployed_training(deployment: AlgorithmDeployment, context: Context, folder: Path) -> Training | None:
    from microservo.algorithms.training import read_training

    topic = context.connection.topic(ALGORITHM_FILES)
    return read_training(deployment, context.connection.broker, topic, folder)


@contextmanager
def _running(
    subject: _Subject, folder: Path, environments: EnvironmentCache, context: Context
) -> Iterator[Running]:
    """A process of the algorithm, open, until the end of the block."""
    from microservo.algorithms.running import Workplace
    from microservo.supervision.fence import Fence
    from microservo.supervision.fence_unfenced import Unfenced

    fence = Fence.find() if subject.deployment.is_fenced else Unfenced()
    workplace = Workplace(subject.plugin, fence, environments, folder)
    with context.progress.stage("environment"):
        environment = workplace.environment()
    with environment, workplace.running(environment) as running:
        running.session.open()
        yield running


def _holding(process: FencedProcess, advance: Advance) -> Advance:
    """The same, and while it takes its time the process does nothing."""

    def advance_held(done: float, total: float) -> None:
        with process.held():
            advance(done, total)

    return advance_held


@contextmanager
def _answers_to(path: Path | None) -> Iterator[Callable[[object], None]]:
    """What writes records into a file, a line each; what forgets them where there is no file.

    Raises:
        Unavailable: the file can't be written.
    """
    if path is None:
        yield lambda _: None
        return
    with writable(path, "name another file"), path.open("w", encoding="utf-8") as file:
        yield lambda record: print(to_json({"type": type(record).__name__, "record": record}), file=file)


def _part(command: EvaluateAlgorithm) -> str:
    """What is put behind the name of a run of which only a part is judged: it is a scenario of its own."""
    if command.from_at is None and command.to_at is None:
        return ""
    begin, end = (
        "" if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        for at in (command.from_at, command.to_at)
    )
    return f"[{begin}..{end}]"


def _us(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1e6)
