"""What the evaluator and the process of a task say to one another: small files in a folder of the attempt."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from microservo.adapters.files import write_whole
from microservo.domain.evaluation_tasks import Outcome, Work
from schemas.codec import decode_as, encode
from schemas.records import EvaluationRequest

REQUEST = "request"
"""Name of the file that every attempt has in its folder."""
LOOK_S = 0.05
"""Between two looks of a process that is paused."""
TELL_S = 0.2
"""Between two times that it says how far it is."""


class TaskFiles:
    """The evaluator's side, and what both share.

    Args:
        folder: of one attempt.
    """

    def __init__(self, folder: Path) -> None:
        self._request = folder / REQUEST
        self._pause = folder / "pause"
        self._progress = folder / "progress"
        self._evaluation = folder / "evaluation"
        self._failure = folder / "failure"

    def ask(self, request: EvaluationRequest) -> None:
        """Says what is to be done."""
        write_whole(self._request, encode(request))

    def pause(self) -> None:
        """Has the process do nothing as soon as it looks."""
        self._pause.touch()

    def resume(self) -> None:
        """Has it go on."""
        self._pause.unlink(missing_ok=True)

    def work(self, attempt_id: str, *, has_ended: bool) -> Work:
        """How far it is.

        Args:
            attempt_id: which attempt the folder is of.
            has_ended: whether the process had ended before this was asked.
        """
        said = _read(self._progress)
        return Work(
            attempt_id=attempt_id,
            windows_done=said.get("done", 0),
            windows_total=said.get("total", 0),
            shall_pause=self._pause.exists(),
            is_paused=said.get("is_paused", False) and self._pause.exists(),
            outcome=self._outcome() if has_ended else None,
        )

    def request(self) -> EvaluationRequest:
        """What is to be done."""
        return decode_as(EvaluationRequest, self._request.read_bytes())

    @property
    def shall_pause(self) -> bool:
        """Whether the process has to do nothing for now."""
        return self._pause.exists()

    def tell(self, done: int, total: int, *, is_paused: bool) -> None:
        """Says how far it is."""
        write_whole(
            self._progress, json.dumps({"done": done, "total": total, "is_paused": is_paused}).encode()
        )

    def end(self, outcome: Outcome) -> None:
        """Says what came of it."""
        if outcome.evaluation:
            write_whole(self._evaluation, outcome.evaluation)
        else:
            said = {"reason": outcome.reason, "is_final": outcome.is_final}
            write_whole(self._failure, json.dumps(said).encode())

    def _outcome(self) -> Outcome:
        with suppress(FileNotFoundError):
            return Outcome(evaluation=self._evaluation.read_bytes())
        failure = _read(self._failure)
        return Outcome(
            reason=failure.get("reason", "its process ended in the middle"),
            is_final=failure.get("is_final", False),
        )


class TaskProgress:
    """The progress of a process that may be paused at each step.

    Args:
        files: of the attempt.
    """

    def __init__(self, files: TaskFiles) -> None:
        self._files = files
        self._done, self._total = 0, 0
        self._told_s = 0.0

    def stage(self, title: str) -> _Stage:
        """A stage; that of the windows is told of."""
        return _Stage(self, is_told=title == "windows")

    def note(self, text: str) -> None:
        """Shows nothing."""

    def step(self) -> None:
        """Returns once the process may go on."""
        if not self._files.shall_pause:
            return
        self._tell(is_paused=True)
        while self._files.shall_pause:
            time.sleep(LOOK_S)
        self._tell(is_paused=False)

    def tell(self, done: int, total: int) -> None:
        """Says how far it is, unless it did so a moment ago."""
        self._done, self._total = done, total
        if done >= total or time.monotonic() - self._told_s >= TELL_S:
            self._tell(is_paused=False)

    def _tell(self, *, is_paused: bool) -> None:
        self._files.tell(self._done, self._total, is_paused=is_paused)
        self._told_s = time.monotonic()


class _Stage:
    """One stage."""

    def __init__(self, progress: TaskProgress, *, is_told: bool) -> None:
        self._progress = progress
        self._is_told = is_told

    def advance(self, done: float, total: float) -> None:
        if self._is_told:
            self._progress.tell(round(done), round(total))
        self._progress.step()

    def show(self, text: str) -> None:
        """Shows nothing."""

    def __enter__(self) -> _Stage:
        self._progress.step()
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is to be done."""


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
