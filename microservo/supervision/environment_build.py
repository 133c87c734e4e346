"""Builds one virtual environment with pip, bounded in time, and says in words what failed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from microservo.adapters.processes import ISOLATED_PYTHON, Guard, child_environment, python_argv
from microservo.errors import Unavailable
from microservo.supervision.process import signal_group, tail

_CHILD = Path(__file__).with_name("child.py")
_ASK_TIMEOUT_S = 60
_LOG_TAIL_BYTES = 1 << 16
_ERROR_LINES = 6
_QUESTION = (
    "import json, os.path, sys; link = getattr(sys, '_base_executable', sys.executable);"
    " print(json.dumps([os.path.realpath(link), os.path.realpath(sys.base_prefix), sys.version]))"
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_FOR_PIP = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_NOT_FOR_PIP = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIREMENT", "PIP_USER")
"""They say where or what to install, which is for us to say."""


@dataclass(frozen=True, slots=True)
class BasePython:
    """An interpreter that environments are made of.

    Args:
        executable: without links.
        prefix: folder of its library, without links.
        version: all that it says of itself.
    """

    executable: Path
    prefix: Path
    version: str

    def shown_with(self, folder: Path) -> tuple[Path, ...]:
        """What a fence must show, so that the environment in `folder` runs; `/usr` is there anyway."""
        return (folder,) if self.prefix.is_relative_to("/usr") else (folder, self.prefix)


def find_python(python: str | None) -> BasePython:
    """The interpreter of this version ("3.12") or path; None: the one that runs this.

    Raises:
        Unavailable: there is none.
    """
    name = sys.executable if python is None else f"python{python}" if python[:1].isdigit() else python
    found = shutil.which(name)
    if found is None:
        message = (
            f"there is no {name} here; install it, or ask for {sys.version_info[0]}.{sys.version_info[1]}"
        )
        raise Unavailable(message)
    try:
        answer = subprocess.run(
            [found, "-I", "-S", "-c", _QUESTION],
            env=child_environment(),
            check=True,
            capture_output=True,
            timeout=_ASK_TIMEOUT_S,
        )
        executable, prefix, version = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        message = f"{found} does not run ({error}); give the path of a Python that does"
        raise Unavailable(message) from error
    return BasePython(Path(executable), Path(prefix), version)


def build(
    folder: Path, base: BasePython, wanted: Sequence[str], log: Path, deadline_s: float, *, may_build: bool
) -> None:
    """Makes an environment.

    Args:
        folder: where; must not be there.
        base: of what.
        wanted: requirements, and paths of packages.
        log: gets all that is said, appended.
        deadline_s: as `time.monotonic` has it.
        may_build: whether also what has no wheel is installed, which runs its code here.

    Raises:
        Unavailable: it can't be made; `folder` may hold a part.
    """
    _run([str(base.executable), "-I", "-m", "venv", "--without-pip", str(folder)], log, deadline_s)
    if not wanted:
        return
    python = folder / "bin" / "python"
    if importlib.util.find_spec("pip") is not None:
        pip = [*python_argv("pip"), "--python", str(python)]
    else:
        _run([str(python), "-I", "-m", "ensurepip"], log, deadline_s)
        pip = [str(python), "-I", "-m", "pip"]
    options = ["--no-input", "--progress-bar=off", "--disable-pip-version-check", "--no-warn-script-location"]
    wheels = [] if may_build else ["--only-binary=:all:"]
    _run([*pip, "install", *options, *wheels, "--", *wanted], log, deadline_s)


def _run(argv: Sequence[str], log: Path, deadline_s: float) -> None:
    """Runs it to its end; with this process, it ends too, and all that it started."""
    guard = Guard()
    try:
        process = _start(argv, log)
        guard.watch(process.pid)
        try:
            code = process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            message = f"the environment was not built in time; its log {log} ends with:\n{tail(log)}"
            raise Unavailable(message) from error
        finally:
            signal_group(process, signal.SIGKILL)
            process.wait()
            guard.release(process.pid)
    finally:
        guard.close()
    if code:
        message = f"the environment can't be built: {_complaints(log)}\nThe whole log is {log}"
        raise Unavailable(message)


def _start(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            return subprocess.Popen(
                [*ISOLATED_PYTHON, str(_CHILD), str(os.getpid()), *argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=child_environment(pip_variables()),
                cwd=os.path.sep,
                start_new_session=True,
                # The user of a fence must be able to read it, whatever ours is.
                umask=0o022,
            )
    except OSError as error:
        message = f"an environment can't be built with the log {log} ({error}); make that writable"
        raise Unavailable(message) from error


def pip_variables() -> dict[str, str]:
    """What this process' environment says to pip: where packages come from, and through which proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _FOR_PIP
        or name.lower() in _PROXIES
        or (name.startswith("PIP_") and name not in _NOT_FOR_PIP)
    } | {"PIP_USER": "0"}


def _complaints(log: Path) -> str:
    """The last errors that pip names, or else the last lines."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    errors = [line.strip() for line in lines if line.lstrip().lower().startswith("error:")]
    return "\n".join(errors[-_ERROR_LINES:]) or tail(log)
