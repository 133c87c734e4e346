from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from microservo.packages import check_packages


def test_our_own_packages_are_found() -> None:
    check_packages()


@pytest.mark.parametrize("shadow", ["schemas.py", "services/__init__.py", "streams/__init__.py"])
def test_a_package_that_shadows_ours_is_named_in_one_line(tmp_path: Path, shadow: str) -> None:
    file = tmp_path / shadow
    file.parent.mkdir(exist_ok=True)
    file.write_text("X = 1")
    command = [sys.executable, "-c", "from microservo.cli import main; main()", "runs", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    place = file if file.parent == tmp_path else file.parent
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"error: {str(place)!r} shadows MicroServo's package {place.stem!r}")


def test_a_script_beside_such_a_package_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "schemas.py").write_text("X = 1")
    command = [sys.executable, "-c", "from microservo import Client"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "schemas.py' shadows MicroServo's package 'schemas'" in done.stderr.splitlines()[-1]
