"""Clients of the registry and the balancer, generated from their documents as docs/registry.md has it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import balancer_api
import filelock
import pytest
from balancer_api import asked_at, new_balancer, served
from needed import cache
from registry_server import TOKEN, serving
from sdk_services import BIN

from services.balancer.openapi import DOCUMENT as BALANCER
from services.registry.openapi import DOCUMENT as REGISTRY

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).parents[1] / "support" / "api_clients"
SCRIPT = Path(__file__).parents[2] / "deploy" / "clients" / "generate.sh"
DOCUMENTS = {"registry": REGISTRY, "balancer": BALANCER}
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


def answers(packages: Path, folder: Path, api: str, *, url: str, token: str) -> dict[str, object]:
    """What a program in TypeScript is answered, that is compiled against types generated from a document."""
    (folder / "node_modules").symlink_to(packages / "node_modules")
    program = f"ask_{api}.ts"
    for name in (program, "package.json"):
        shutil.copy(SOURCES / name, folder)
    node, modules = BIN / "node", packages / "node_modules"
    generator = modules / "openapi-typescript" / "bin" / "cli.js"
    options = ("--default-non-nullable", "false", "--output", folder / f"{api}.ts")
    run(folder, node, generator, DOCUMENTS[api], *options)
    run(folder, node, modules / "typescript" / "bin" / "tsc", *COMPILER.split(), program)
    found: dict[str, object] = json.loads(run(folder, node, program, url, token))
    return found


def test_a_client_of_a_registry_in_typescript_is_generated_compiles_and_is_answered(
    packages: Path, tmp_path: Path
) -> None:
    with serving() as registry:
        found = answers(packages, tmp_path, "registry", url=registry.url, token=TOKEN)
    assert found == {
        "region": "Asia",
        "endpoint": "http://127.0.0.1:9000",
        "load": 0.25,
        # The question of the closest one, and what was reported.
        "requests": [42],
        "status": 404,
        "error": "no instance of 'cart' is up; register one, or ask again later",
    }


def test_a_client_of_a_balancer_in_typescript_is_generated_compiles_and_is_answered(
    packages: Path, tmp_path: Path
) -> None:
    balancer = new_balancer(tmp_path)
    with served(balancer), asked_at(balancer) as url:
        found = answers(packages, tmp_path, "balancer", url=url, token=balancer_api.TOKEN)
    assert found == {
        "added": 201,
        "servers": [["127.0.0.1:9000", 35.68]],
        "services": ["cart"],
        "health": "ok",
        "status": 404,
        "error": "'nobody' has no servers here; add one",
    }


def test_the_script_says_what_to_give_it(tmp_path: Path) -> None:
    for arguments in ([], ["registry"], ["broker", tmp_path]):
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "generate.sh registry|balancer OUT" in done.stderr) == (2, True)
    done = subprocess.run(
        [SCRIPT, "balancer", tmp_path, "cobol"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "no client in 'cobol'" in done.stderr) == (2, True)
