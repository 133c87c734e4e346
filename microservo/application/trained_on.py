"""What a classifier is trained on, by the name that was given: a dataset, or a run that is over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from microservo.application.command import Context
from microservo.application.runs import ListRuns, list_runs, run_id_of
from microservo.errors import InvalidInput

if TYPE_CHECKING:
    from microservo.algorithms import Plugin
    from microservo.algorithms.training import Training
    from microservo.application.replay import Recording


def training_for(plugin: Plugin, train_on: str | None, context: Context) -> Training | None:
    """What a classifier is trained on; None for what isn't one.

    Args:
        plugin: what is to be trained.
        train_on: folder of a dataset, or a run of the broker.
        context: with the broker, which is only asked where a run is named.

    Raises:
        InvalidInput: a classifier with nothing to learn from, something for another task, or no labelled
            cases in it.
    """
    task = plugin.declaration.task
    if task == "classifier" and train_on is None:
        msg = (
            "a classifier has to be trained before it can tell kinds of failure apart; give a dataset of "
            "another run, or that run, with faults of two kinds at least: --train-on DATASET"
        )
        raise InvalidInput(msg)
    if train_on is None:
        return None
    if task != "classifier":
        msg = (
            f"--train-on {train_on} for a {task}; only a classifier is trained, a detector learns as it goes"
        )
        raise InvalidInput(msg)
    from microservo.application.training import training_of  # noqa: PLC0415  # loads NumPy, which most acts don't need

    return training_of(_labelled(train_on, context), plugin.declaration)


def _labelled(train_on: str, context: Context) -> Recording:
    """The recorded run of this name, whose labels change no more.

    Raises:
        InvalidInput: it is neither a dataset nor a run, or the run goes on.
    """
    from microservo.datasets.recording import RecordedDataset  # noqa: PLC0415  # as above
    from microservo.log.recorded_run import RecordedRun  # noqa: PLC0415  # as above

    folder = Path(train_on)
    if folder.exists() or len(folder.parts) > 1:
        return RecordedDataset(folder)
    run_id = run_id_of(train_on, context)
    run = next((each for each in list_runs(ListRuns(), context) if each.run_id == run_id), None)
    if run is None:
        msg = (
            f"--train-on {train_on} is neither the folder of a dataset nor a run of this broker; "
            "`microservo runs list` shows those that are"
        )
        raise InvalidInput(msg)
    if run.status == "running":
        msg = (
            f"--train-on {train_on}: run {run_id} goes on, so what is known of its faults may still change; "
            "take a run that is over, or a dataset of one"
        )
        raise InvalidInput(msg)
    connection = context.connection
    return RecordedRun(connection.broker, run_id, connection.topic_prefix)
