"""A project to begin an algorithm with: code, declaration, and a test that needs no running system.

Whatever lies in `template` becomes part of it. The recorded run that it is tried on comes with the package,
and isn't copied: what lies in a project is sent with each deployment.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from microservo.errors import InvalidInput

TEMPLATE = Path(__file__).with_name("template")


def write_project(folder: Path) -> tuple[Path, ...]:
    """Writes the project into a folder, which is made where it is missing.

    Args:
        folder: where to; may exist, but must be empty.

    Returns:
        The files that were written.

    Raises:
        InvalidInput: something lies there already, or it can't be written to.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} is not empty; name a folder that does not exist yet"
        raise InvalidInput(msg)
    try:
        shutil.copytree(
            TEMPLATE,
            folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    except OSError as error:
        msg = f"{folder} can't be written ({error}); name a folder that is yours"
        raise InvalidInput(msg) from error
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
