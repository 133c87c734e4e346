"""A small host of one fenced script, for tests: `fence_host.py REQUEST`; prints what became of it as JSON.

REQUEST is JSON: bwrap (none: unfenced), script, arguments, limits, seconds (until it is killed), or
until_said (killed at its first line instead), log, state (where that is copied to), snapshot (what it starts
with). With `hold`, it prints its child's pid and waits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from microservo.errors import InvalidInput
from microservo.supervision.fence import Fence
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_process import FencedProcess
from microservo.supervision.fence_unfenced import Unfenced

SCRIPTS = Path(__file__).with_name("hostile")
_KEPT_CHARACTERS = 4096


def main() -> None:
    request = json.loads(sys.argv[1])
    if request.get("hold"):
        say({"host": os.getpid()})
    with start(request) as process:
        if request.get("hold"):
            say({"pid": process.pid})
            signal.pause()
        say(watch(process, request))


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def start(request: dict[str, Any]) -> FencedProcess:
    python = os.path.realpath(sys.executable)
    fence = Fence(Path(request["bwrap"])) if "bwrap" in request else Unfenced()
    return fence.start(
        (python, "-I", str(SCRIPTS / request["script"]), *request.get("arguments", ())),
        folders=[SCRIPTS, *([] if sys.base_prefix == "/usr" else [Path(sys.base_prefix)])],
        log=Path(request["log"]),
        state=Path(request["snapshot"]) if "snapshot" in request else None,
        limits=Limits(**request.get("limits", {})),
    )


def watch(process: FencedProcess, request: dict[str, Any]) -> dict[str, Any]:
    said: list[str] = []
    spoke = threading.Event()

    def read() -> None:
        first = process.stdout.readline(_KEPT_CHARACTERS)
        spoke.set()
        said.append((first + process.stdout.read(_KEPT_CHARACTERS)).decode())

    if request.get("reads", True):
        reader = threading.Thread(target=read)
        reader.start()
    try:
        if request.get("until_said"):
            spoke.wait(20)
            raise TimeoutError
        outcome = process.wait(request.get("seconds", 20))
    except TimeoutError:
        process.kill("took too long")
        outcome = process.wait()
    answer: dict[str, Any] = {
        "reason": outcome.reason,
        "exit_code": outcome.exit_code,
        "killed_for": outcome.killed_for,
        "cpu_s": outcome.cpu_s,
        "paused_s": process.paused_s(),
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "output_bytes": outcome.output_bytes,
        "holds": process.holds,
    }
    if request.get("reads", True):
        reader.join()
        answer["said"] = said[0]
    if "state" in request:
        try:
            answer["left_out"] = process.copy_state(Path(request["state"]))
        except InvalidInput as error:
            answer["state_error"] = str(error)
    return answer


if __name__ == "__main__":
    main()
