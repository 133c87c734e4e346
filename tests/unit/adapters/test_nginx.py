from __future__ import annotations

from pathlib import Path

import pytest

from microservo.adapters.nginx import find_nginx
from microservo.errors import Unavailable


def program(folder: Path, says: str) -> None:
    """An nginx that says of itself what a test wants."""
    path = folder / "nginx"
    path.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


def test_the_version_is_what_the_program_says(folder: Path) -> None:
    program(folder, "nginx version: nginx/1.26.3 (Ubuntu)\nconfigure arguments: --with-http_realip_module")
    found = find_nginx(["http_realip_module"])
    assert (found.version, found.path) == ("1.26.3", str(folder / "nginx"))
    assert found.argv(Path("/x"), "nginx.conf") == (
        found.path,
        "-e",
        "stderr",
        "-p",
        "/x/",
        "-c",
        "nginx.conf",
    )


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("nginx version: nginx/1.18.0", r"1\.18\.0 at .* is too old; 1\.20 or later is needed"),
        ("nginx version: nginx/1.22.1", "was built without http_realip_module"),
        ("hello", "does not say its version"),
    ],
)
def test_a_program_that_can_not_be_used_is_refused(folder: Path, says: str, problem: str) -> None:
    program(folder, says)
    with pytest.raises(Unavailable, match=problem):
        find_nginx(["http_realip_module"])
