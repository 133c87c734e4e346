from __future__ import annotations

from pathlib import Path

import pytest

from microservo.errors import InvalidInput
from microservo.supervision import system_file
from microservo.supervision.system_file import SystemFile


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path))


def a_system(name: str) -> SystemFile:
    return SystemFile(
        name=name,
        bootstrap_servers="127.0.0.1:1",
        topic_prefix="",
        run_id="run-1",
        pid=1,
        created_at_s=1.5,
        target_state="target.json",
        otlp_url="http://127.0.0.1:2",
        log_dir="logs",
        ports={"broker": 1},
    )


def test_what_was_written_is_read_until_it_is_removed() -> None:
    system_file.write_system(a_system("lab"))
    assert system_file.read_system("lab") == a_system("lab")
    system_file.remove_system("lab")
    system_file.remove_system("lab")
    assert system_file.read_system("lab") is None


def test_a_file_that_was_cut_short_counts_as_none() -> None:
    path = system_file.write_system(a_system("lab"))
    path.write_text(path.read_text("utf-8")[:20], "utf-8")
    assert system_file.read_system("lab") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-x", "x" * 60])
def test_a_name_that_makes_no_safe_folder_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        system_file.system_dir(name)
