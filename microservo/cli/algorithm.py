"""`microservo algorithm`: deploy algorithms, see how they do, stop and remove them."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from microservo.application.algorithm_checks import CheckAlgorithm, TryAlgorithm
from microservo.application.algorithm_progress import WaitForAlgorithm
from microservo.application.algorithms import (
    DeployAlgorithm,
    InitProject,
    ListAlgorithmKinds,
    ListAlgorithms,
    ListedAlgorithm,
    RemoveAlgorithm,
    StartAlgorithm,
    StopAlgorithm,
)
from microservo.cli.algorithm_logs import logs
from microservo.cli.completions import complete_deployed, complete_kind, complete_spec
from microservo.cli.declared import declared_of, declared_options, train_on_option
from microservo.cli.evaluate import evaluate
from microservo.cli.output import Cell, console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.text import styled
from microservo.cli.trials import print_trials
from microservo.domain.deployments import NO_FENCE
from microservo.errors import InvalidInput, MicroServoError
from schemas.records import AlgorithmDeployment, AlgorithmState

_COLUMNS = ("algorithm", "task", "phase", "windows", "p50", "p99", "CPU", "memory", "fence")


@click.group()
def algorithm() -> None:
    """Deploy algorithms beside the running system, see how they do, stop and remove them.

    \b
    Examples:
      microservo algorithm kinds
      microservo algorithm deploy half-space-trees
      microservo algorithm deploy ./mine.py --name mine --param window=30 --signals metrics,logs
      microservo algorithm list
      microservo algorithm logs -f mine
    """


algorithm.add_command(logs)
algorithm.add_command(evaluate)


@algorithm.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, shell_complete=complete_spec)
@click.option("--name", metavar="NAME", help="Under which it is listed; made of SPEC by default.")
@click.option("--if-missing", is_flag=True, help="Leave what is deployed under that name as it is.")
@declared_options
@click.option("--threshold", type=float, metavar="SCORE", help="Scores above it are alarms.")
@click.option(
    "--alarms-per-hour",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="False alarms that a threshold aims at which is found in the run's fault-free time.",
)
@train_on_option
@click.option("--unfenced", is_flag=True, help="Run it with all rights of this user.")
@click.option("--wait", is_flag=True, help="Wait until it scores what comes; Ctrl-C stops only the waiting.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def deploy(
    session: Session,
    /,
    specs: tuple[str, ...],
    *,
    name: str | None,
    if_missing: bool,
    train_on: str | None,
    threshold: float | None,
    alarms_per_hour: float,
    unfenced: bool,
    wait: bool,
    as_json: bool,
    **declared: Any,
) -> None:
    """Run the algorithm at each SPEC beside the others, from now on.

    SPEC is a shipped kind, module:object, a .py file, a folder, a wheel or zip, or a TOML declaration. What
    is deployed under the same name goes on until the new version has caught up.

    \b
    Examples:
      microservo algorithm deploy n-sigma --param top_k=1 --name one-sigma --wait
      microservo algorithm deploy river.anomaly:HalfSpaceTrees --requires river==0.26.1 \\
          --pre river.preprocessing:MinMaxScaler
      microservo algorithm deploy sklearn.svm:OneClassSVM --requires scikit-learn==1.9.1 \\
          --param nu=0.1 --pre sklearn.decomposition:PCA,n_components=5
      microservo algorithm deploy ./mine.py
      microservo algorithm deploy robust-z half-space-trees random-walk
      microservo algorithm deploy gradient-boosting --train-on ./dataset
    """
    given = declared_of(declared)
    if name is not None and len(specs) > 1:
        msg = f"--name {name} for {len(specs)} algorithms; deploy them one by one, or leave it out"
        raise InvalidInput(msg)
    deployed = [
        session.execute(
            DeployAlgorithm(
                spec=spec,
                name=name,
                declared=given,
                threshold=threshold,
                alarms_per_hour=alarms_per_hour,
                is_fenced=not unfenced,
                if_missing=if_missing,
                train_on=train_on,
            )
        )
        for spec in specs
    ]
    for each in deployed:
        if as_json:
            print_document(each)
        else:
            print_line(f"{each.algorithm}@{each.version}")
    if wait:
        _wait(session, deployed)


def _wait(session: Session, deployed: Sequence[AlgorithmDeployment]) -> None:
    """Shows how far each comes, until all run."""
    # What is printed is for programs; how far it is, for people.
    progress = TerminalProgress(console(stderr=True))
    try:
        for each in deployed:
            state = session.execute(WaitForAlgorithm(name=each.algorithm), progress)
            progress.note(_first_score(each, state))
    except KeyboardInterrupt:
        progress.note("no longer waited for; it goes on, and `microservo algorithm list` shows how far it is")
        raise


def _first_score(deployment: AlgorithmDeployment, state: AlgorithmState) -> str:
    """How long it took, from the deployment on, and takes now."""
    if state.first_score_at_us is None:
        return f"{deployment.algorithm} runs; it waits for the first case"
    since_s = (state.first_score_at_us - deployment.deployed_at_us) / 1e6
    now = _milliseconds(state.latency_p50_us)
    return f"{deployment.algorithm}: first score {since_s:.1f} s after it was deployed, now each in {now}"


@algorithm.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_algorithms(session: Session, *, as_json: bool) -> None:
    """List all that is deployed, how far it has come and what it costs.

    \b
    Examples:
      microservo algorithm list
      microservo algorithm list --json | jq -r .deployment.algorithm
    """
    found = session.execute(ListAlgorithms())
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        print_line("nothing is deployed; `microservo algorithm kinds` shows what is shipped")
    else:
        print_table(_COLUMNS, [row for each in found for row in _rows(each)])


@algorithm.command()
@click.argument("name", shell_complete=complete_deployed)
@pass_session
def show(session: Session, name: str) -> None:
    """Show all that is known of the algorithm NAME, as JSON.

    \b
    Examples:
      microservo algorithm show mine | jq .states[0].reason
    """
    found = [each for each in session.execute(ListAlgorithms()) if each.deployment.algorithm == name]
    if not found:
        msg = f"no algorithm {name!r} is deployed; `microservo algorithm list` shows those that are"
        raise InvalidInput(msg)
    (listed,) = found
    document = {
        "deployment": listed.deployment,
        "declaration": json.loads(listed.deployment.declaration),
        "states": listed.states,
    }
    print_document(document)


@algorithm.command()
@click.argument("name", shell_complete=complete_deployed)
@pass_session
def stop(session: Session, name: str) -> None:
    """Run the algorithm NAME no longer; what it has learned stays.

    \b
    Examples:
      microservo algorithm stop mine
    """
    session.execute(StopAlgorithm(name=name))


@algorithm.command()
@click.argument("name", shell_complete=complete_deployed)
@pass_session
def start(session: Session, name: str) -> None:
    """Run the algorithm NAME again; it goes on from what it had learned.

    \b
    Examples:
      microservo algorithm start mine
    """
    session.execute(StartAlgorithm(name=name))


@algorithm.command()
@click.argument("name", shell_complete=complete_deployed)
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget the algorithm NAME with all that it has learned; its scores stay on the log.

    \b
    Examples:
      microservo algorithm remove mine
    """
    session.execute(RemoveAlgorithm(name=name))


@algorithm.command()
@click.argument("name", required=False, shell_complete=complete_kind)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def kinds(session: Session, name: str | None, *, as_json: bool) -> None:
    """List the algorithms that are shipped, or describe the one called NAME.

    \b
    Examples:
      microservo algorithm kinds
      microservo algorithm kinds half-space-trees
    """
    found = session.execute(ListAlgorithmKinds(name=name))
    if as_json:
        for each in found:
            print_document(each)
    elif name is not None:
        (kind,) = found
        print_line(styled(f"{kind.name}: {kind.title}", bold=True), f" ({kind.task})")
        print_line(kind.what_it_is)
        print_line(f"It fails at: {kind.when_it_fails}")
        print_line(f"It requires: {', '.join(kind.requires) or 'nothing'}")
    else:
        rows = [(each.name, each.task, each.title, ", ".join(each.requires)) for each in found]
        print_table(("kind", "task", "title", "requires"), rows)


@algorithm.command()
@click.argument("spec", shell_complete=complete_spec)
@declared_options
@click.option("--unfenced", is_flag=True, help="Try it with all rights of this user.")
@pass_session
def check(session: Session, /, spec: str, *, unfenced: bool, **declared: Any) -> None:
    """Try what every algorithm must keep to on the one at SPEC; needs no running system.

    Where all holds, it is tried on a sample that is shipped, a run with 100 faults of 50 kinds in it, beside
    algorithms that it has to beat. What is shown is defined as on the board.

    \b
    Examples:
      microservo algorithm check ./mine.py
      microservo algorithm check river.anomaly:HalfSpaceTrees --requires river==0.26.1 \\
          --pre river.preprocessing:MinMaxScaler
    """
    given = declared_of(declared)
    progress = TerminalProgress(console(stderr=True))
    results = session.execute(CheckAlgorithm(spec=spec, declared=given, is_fenced=not unfenced), progress)
    for result in results:
        mark = styled("holds", fg="green") if result.ok else styled("does not hold", fg="red")
        print_line(mark, f": {result.name}" + (f" ({result.reason})" if result.reason else ""))
    if not all(result.ok for result in results):
        msg = f"{sum(not result.ok for result in results)} of {len(results)} checks do not hold"
        raise MicroServoError(msg)
    trials = session.execute(TryAlgorithm(spec=spec, declared=given, is_fenced=not unfenced), progress)
    if trials:
        print_trials(trials)


@algorithm.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@pass_session
def init(session: Session, folder: Path) -> None:
    """Begin a project in FOLDER: an algorithm of ten lines, its declaration, and a test that runs offline.

    \b
    Examples:
      microservo algorithm init ./mine
    """
    for path in session.execute(InitProject(folder=folder)):
        print_line(str(path))


def _rows(listed: ListedAlgorithm) -> Iterator[Sequence[Cell]]:
    deployment = listed.deployment
    for state in listed.states:
        name = f"{state.algorithm}@{state.algorithm_version}"
        reason = [styled(state.reason, dim=True)] if state.reason else []
        yield (
            name,
            deployment.task,
            (_phase(state), *reason),
            str(state.windows),
            _milliseconds(state.latency_p50_us),
            _milliseconds(state.latency_p99_us),
            f"{state.cpu_us / 1e6:.1f} s",
            f"{state.peak_memory_bytes / 2**20:.0f} MiB",
            _fence(state),
        )
    if not any(state.algorithm_version == deployment.version for state in listed.states):
        name = f"{deployment.algorithm}@{deployment.version}"
        phase = "waiting" if deployment.is_wanted else "stopped"
        yield (name, deployment.task, phase, "0", "-", "-", "-", "-", "-")


def _phase(state: AlgorithmState) -> str:
    """How far it has come, and while it learns what the run was so far, how much of that it knows."""
    if state.phase != "learning" or not state.windows_to_learn:
        return state.phase
    return f"{state.phase}, {state.learned_windows:,} of {state.windows_to_learn:,} windows"


def _milliseconds(us: int | None) -> str:
    return "-" if us is None else f"{us / 1000:.0f} ms"


def _fence(state: AlgorithmState) -> str:
    if not state.holds:
        return "-"
    return "none" if state.holds[0] == NO_FENCE else "yes"
