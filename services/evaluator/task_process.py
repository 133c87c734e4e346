"""The process of one evaluation task: `algorithm evaluate`, as an evaluator has it done.

It ends with the evaluator, and at SIGTERM at once: nothing of it is worth keeping.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from microservo.adapters.kafka import KafkaBroker
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.evaluating import EvaluateAlgorithm
from microservo.application.table import execute
from microservo.domain.evaluation_tasks import Outcome
from microservo.errors import Fatal, MicroServoError, Retryable
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import settings_or_exit
from schemas.codec import encode
from services.evaluator.settings import TaskSettings
from services.evaluator.task_files import TaskFiles, TaskProgress

logger = logging.getLogger(__name__)
_NAME = "evaluation-task"


def main() -> None:
    """Does what the folder's request says, and leaves there what came of it."""
    settings = settings_or_exit(TaskSettings, _NAME)
    configure_logging(_NAME, settings.log_level)
    evaluate(
        TaskFiles(settings.task_folder),
        Connection(broker=KafkaBroker(settings.kafka), topic_prefix=settings.topic_prefix),
        settings.environments,
    )


def evaluate(files: TaskFiles, connection: Connection, environments: Path | None) -> None:
    """Carries out the request of an attempt.

    Args:
        files: of the attempt.
        connection: to the broker with the run.
        environments: folder of what algorithms require; the user's own if None.
    """
    request = files.request()
    command = EvaluateAlgorithm(
        spec=request.algorithm,
        version=request.algorithm_version,
        run_id=request.run_id,
        from_at=_at(request.from_us),
        to_at=_at(request.to_us),
        environments=environments,
    )
    try:
        found = execute(command, Context(lambda: connection, progress=TaskProgress(files)))
    except (Retryable, Fatal) as error:
        logger.exception("evaluating %s failed for now", request.algorithm)
        files.end(Outcome(reason=str(error), is_final=False))
    except MicroServoError as error:
        logger.exception("evaluating %s failed", request.algorithm)
        files.end(Outcome(reason=str(error)))
    else:
        files.end(Outcome(evaluation=encode(found)))


def _at(us: int | None) -> datetime | None:
    return None if us is None else datetime.fromtimestamp(us / 1e6, UTC)


if __name__ == "__main__":
    main()
