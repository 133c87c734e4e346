from __future__ import annotations

import os
from pathlib import Path

import pytest

from microservo.adapters.archive import pack, unpack
from microservo.algorithms.declaration import Declaration, Step, declaration_of
from microservo.algorithms.kinds import kinds
from microservo.errors import InvalidInput


def project(folder: Path) -> Path:
    package = folder / "mine"
    (package / "inner" / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "code.py").write_text("x = 1\n")
    (package / "inner" / "__pycache__" / "code.pyc").write_bytes(b"rubbish")
    (package / ".git").mkdir()
    (package / ".git" / "config").write_text("secret")
    return package


def test_what_was_packed_comes_out_as_it_was(tmp_path: Path) -> None:
    package = project(tmp_path / "from")
    single = tmp_path / "single.py"
    single.write_text("y = 2\n")
    archive = tmp_path / "packed.zip"
    archive.write_bytes(pack((package, single)))
    unpack(archive, tmp_path / "to")
    found = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*.*")}
    assert found == {"mine/__init__.py", "mine/inner/code.py", "single.py"}
    assert (tmp_path / "to" / "mine" / "inner" / "code.py").read_text() == "x = 1\n"


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (project(tmp_path / name) for name in ("a", "b"))
    os.utime(second / "__init__.py", (1, 1))
    assert pack((first,)) == pack((second,))


def test_links_are_refused(tmp_path: Path) -> None:
    package = project(tmp_path)
    (package / "passwords.py").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="is a link"):
        pack((package,))


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_a_declaration_is_the_same_after_it_was_written_down(kind: object) -> None:
    declaration = kind.plugin.declaration  # type: ignore[attr-defined]
    assert declaration_of(declaration.document()) == declaration


def test_a_declaration_with_everything_in_it_is_the_same_after_it_was_written_down() -> None:
    declaration = Declaration(
        object="a:b",
        params={"x": 1},
        pre=(Step(object="c:d", params={"y": [1, 2]}),),
        signals=("logs",),
        only=("log/*",),
        batch={"warm_up": 5},
        requires=("numpy",),
        python="3.12",
        memory_bytes=1 << 20,
        seed=7,
    )
    assert declaration_of(declaration.document()) == declaration
