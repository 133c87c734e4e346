"""Running what is measured: one process each, one after another."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from microservo.adapters.processes import child_environment

ROOT = Path(__file__).resolve().parent.parent
_PEERS = ROOT / "benchmarks" / "peers"
_INSTALL_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The last line of a process that was measured, or why there is none."""

    result: Mapping[str, float] | None
    reason: str = ""

    def rate(self, what: str) -> float | None:
        """How many of `what` (records, messages) per second of wall time."""
        return None if self.result is None else self.result[what] / self.result["elapsed_s"]


def measure(python: Path, module: str, *arguments: str, timeout_s: float) -> Outcome:
    """Runs a module that prints one line of JSON at its end."""
    command = [str(python), "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=child_environment({"PYTHONWARNINGS": "ignore"}),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        return Outcome(result=None, reason=_last_line(error.stderr) or f"exit code {error.returncode}")
    except subprocess.TimeoutExpired:
        return Outcome(result=None, reason=f"not done within {timeout_s:g} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return Outcome(result=None, reason=_last_line(done.stderr) or "it printed no result")
    return Outcome(result=json.loads(lines[-1]))


def peak_mb(pid: int) -> float:
    """Most resident memory that a process has had: getrusage also knows of the one that started it."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def own_python() -> Path:
    """The interpreter that runs this."""
    return Path(sys.executable)


def peers_python(cache: Path, requirements: str = "requirements.txt", *pip_options: str) -> Path | str:
    """The interpreter of the peers' own environment, made where it is missing; or why it can't be had."""
    python = cache / "bin" / "python"
    done = cache / ".installed"
    wanted = (_PEERS / requirements).read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == wanted:
        return python
    try:
        venv.create(cache, with_pip=True, clear=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *pip_options, "-r", str(_PEERS / requirements)],
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        return _last_line(error.stderr) or f"pip ended with exit code {error.returncode}"
    except (subprocess.TimeoutExpired, OSError) as error:
        return str(error)
    done.write_text(wanted, "utf-8")
    return python


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1].strip() if lines else ""
