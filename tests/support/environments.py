"""Python environments with packages that can't be in ours, made once and kept in `build/environments`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock

_FOLDER = Path(__file__).resolve().parents[2] / "build" / "environments"
_INSTALL_TIMEOUT_S = 600
_ASK_TIMEOUT_S = 60


def environment(name: str, *installs: Sequence[str], python: str = sys.executable) -> Path:
    """The interpreter of an environment, which is made where it is missing.

    Args:
        name: of its folder.
        installs: what `pip install` is given, one call after another.
        python: the interpreter that it is made with.

    Raises:
        subprocess.CalledProcessError: something can't be installed.
    """
    folder = _FOLDER / name
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / ".installed").exists():
            own = str(folder / "bin" / "python")
            commands = [[python, "-m", "venv", "--clear", str(folder)]]
            commands += [[own, "-m", "pip", "install", "--quiet", *each] for each in installs]
            for command in commands:
                subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT_S)
            (folder / ".installed").touch()
    return folder / "bin" / "python"


def interpreter(*versions: str) -> str:
    """An interpreter of one of some versions, as "3.12"; skips the test where this machine has none."""
    for version in versions:
        for candidate in _candidates(version):
            if _is(candidate, version):
                return candidate
    # No package index has one to install, so this is left out everywhere but where somebody has put one.
    pytest.skip(f"no Python {' or '.join(versions)} is on this machine; install one and put it on PATH")


def _candidates(version: str) -> list[str]:
    found = [sys.executable, f"python{version}"]
    if pyenv := shutil.which("pyenv"):
        # Its own `python3.12` answers for the version that is chosen only, though others are there.
        asked = subprocess.run(
            [pyenv, "root"], capture_output=True, text=True, check=False, timeout=_ASK_TIMEOUT_S
        )
        root = Path(asked.stdout.strip())
        found += (
            sorted(map(str, root.glob(f"versions/{version}.*/bin/python"))) if asked.returncode == 0 else []
        )
    return found


def _is(candidate: str, version: str) -> bool:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run(
            [candidate, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_TIMEOUT_S,
            env=dict(os.environ),
        )
    except OSError:
        return False
    return asked.returncode == 0 and asked.stdout.strip() == version
