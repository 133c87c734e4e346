"""One share of a rebuild in a process of its own: a task of JSON on stdin, steps of JSON on stdout.

It is a plain program and no `multiprocessing` child, so a script that rebuilds needs no `__main__` guard.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.datasets.share import Final, Outcome, Read, Settled, Sliced, Step, work
from microservo.datasets.slices import store
from microservo.datasets.tasks import given_share
from microservo.errors import MicroServoError

_GARBAGE_EVERY = 50_000
"""New objects between two looks for cycles, of which there are next to none here."""


def main() -> int:
    """Works one share off; slices go into files, and what else there is to say, to stdout."""
    gc.freeze()
    gc.set_threshold(_GARBAGE_EVERY)
    given = json.loads(sys.stdin.readline())
    folder = Path(given["folder"])
    try:
        broker = KafkaBroker(KafkaSettings(**given["kafka"]))
        with broker.consumer(group_id=None) as consumer:
            for step in work(consumer, given_share(given)):
                _tell(_said(step, folder))
    except MicroServoError as error:
        _tell({"error": type(error).__name__, "message": str(error)})
        return 1
    except BrokenPipeError:
        # Whoever asked for it is gone.
        return 1
    return 0


def _said(step: Step, folder: Path) -> dict[str, Any]:
    if isinstance(step, Sliced):
        store(folder, step.number, step.tables)
        return {"slice": step.number}
    if isinstance(step, Read):
        return {"read": step.messages}
    if isinstance(step, Final):
        return {"final": step.number}
    if isinstance(step, Settled):
        return {"settled": [asdict(row) for row in step.rows]}
    assert isinstance(step, Outcome)
    return {"outcome": step.to_json()}


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # All is said and closed: taking down what is in memory piece by piece would only take time.
    os._exit(status)
