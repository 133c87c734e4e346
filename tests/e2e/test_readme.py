"""The commands of README and docs run as written, against a system that `microservo up` runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from microservo.testing import eventually

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def blocks(path: str) -> list[tuple[str, str]]:
    """The blocks to be run, each with its language."""
    text = (ROOT / path).read_text("utf-8")
    return re.findall(r"<!-- run -->\n```(sh|python)\n(.*?)```", text, re.DOTALL)


README = blocks("README.md")
ALGORITHM = blocks("docs/adding_an_algorithm.md")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of a user whose system is up and has its first windows."""
    folder = tmp_path_factory.mktemp("readme")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"MICROSERVO_HOME": str(folder / "home"), "PATH": path, "NO_COLOR": "1"}
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            ["microservo", "up"], env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
        try:
            eventually(
                lambda: (
                    up.poll() is not None or "first labelled window" in (folder / "up.log").read_text("utf-8")
                ),
                timeout_s=180,
                what="`microservo up` to show its first labelled window",
            )
            assert up.poll() is None, (folder / "up.log").read_text("utf-8")
            yield environment
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(60) == 130
    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False)
    assert left.stdout == "", "Ctrl-C must leave nothing behind"


def test_there_are_commands_to_run() -> None:
    assert (len(README), len(ALGORITHM)) == (6, 6)
    assert shutil.which("make")


@pytest.mark.parametrize(("language", "text"), README, ids=[text.split("\n")[0][:40] for _, text in README])
def test_a_block_of_the_readme_runs_as_written(
    environment: dict[str, str], tmp_path: Path, language: str, text: str
) -> None:
    run(language, text, environment, tmp_path)


def test_a_newcomer_gets_from_nothing_to_alarms_with_an_algorithm_of_their_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for language, text in ALGORITHM:
        run(language, text, environment, tmp_path)


def run(language: str, text: str, environment: dict[str, str], folder: Path) -> None:
    argv = ["bash", "-euo", "pipefail", "-c", text] if language == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(
        argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
