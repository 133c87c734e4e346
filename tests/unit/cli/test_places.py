"""Places that can't be written: one line, an exit code, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from microservo.cli.root import cli


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder below a file: nobody can make it, not even root."""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "home"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MICROSERVO_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_home_that_can_not_be_written_is_said_in_one_line(
    command: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(place))
    result = call(command)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        f"error: {place} can't be written (Not a directory); set MICROSERVO_HOME to a folder that can\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_home_that_is_a_file_is_said_in_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(place.parent))
    result = call("up")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


def test_the_doctor_finds_a_home_that_can_not_be_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(place))
    result = call("doctor")
    assert (result.exit_code, result.stderr) == (3, "error: missing: home\n")


def test_other_commands_see_no_system_in_a_home_that_is_a_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(place.parent))
    for arguments in (("runs", "list"), ("--system", "lab", "runs", "list")):
        result = call(*arguments)
        assert (result.exit_code, result.stderr.startswith("error: no running system")) == (3, True)


def test_a_state_file_that_can_not_be_written_is_said_in_one_line(place: Path) -> None:
    result = call("target", "--state", str(place / "target.json"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert "give another file with --state" in result.stderr


def test_a_place_for_the_dataset_that_can_not_be_written_is_said_before_anything_starts(
    place: Path, tmp_path: Path
) -> None:
    result = call("demo", "--out", str(place))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "give a folder that can be written to" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
