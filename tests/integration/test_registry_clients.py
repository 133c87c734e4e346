"""A client in TypeScript as docs/registry.md has it: generated, checked by the compiler, and run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest
from needed import cache
from registry_server import TOKEN, serving
from sdk_services import BIN

from services.registry.openapi import DOCUMENT

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).parents[1] / "support" / "registry_clients"
TIMEOUT_S = 600
COMPILER = "--noEmit --strict --module nodenext --target es2022 --lib es2022,dom --allowImportingTsExtensions"


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the packages of npm that the lock names."""
    digest = hashlib.sha256((SOURCES / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = cache() / "sdks" / f"registry-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SOURCES / name, folder)
            run(folder, BIN / "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
            (folder / "installed").touch()
    return folder


def run(folder: Path, *argv: str | Path) -> str:
    """What a command writes."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_client_in_typescript_is_generated_compiles_and_is_answered(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    for name in ("ask.ts", "package.json"):
        shutil.copy(SOURCES / name, tmp_path)
    node, modules = BIN / "node", packages / "node_modules"
    generator = modules / "openapi-typescript" / "bin" / "cli.js"
    options = ("--default-non-nullable", "false", "--output", tmp_path / "registry.ts")
    run(tmp_path, node, generator, DOCUMENT, *options)
    run(tmp_path, node, modules / "typescript" / "bin" / "tsc", *COMPILER.split(), "ask.ts")
    with serving() as served:
        answered = json.loads(run(tmp_path, node, "ask.ts", served.url, TOKEN))
    assert answered == {
        "region": "Asia",
        "endpoint": "http://127.0.0.1:9000",
        "load": 0.25,
        # The question of the closest one, and what was reported.
        "requests": [42],
        "status": 404,
        "error": "no instance of 'cart' is up; register one, or ask again later",
    }
