"""Who writes and who reads a topic is what the code does, not what somebody once wrote down."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import schemas
from schemas import catalogue

ROOT = Path(schemas.__file__).parent.parent
TOPICS = {
    name: value
    for name, value in vars(catalogue).items()
    if isinstance(value, str) and value in catalogue.catalogue()
}
"""Topics by the constant that names them."""
HELPERS = "microservo/log"
"""What others use to read and write: a topic that it names is read by who imports it."""
COMPONENTS = {
    "streams": "streams",
    "microservo/domain": "streams",
    "microservo/catalogue": "projector",
    "microservo/datasets": "datasets",
    "microservo/client": "client",
    "microservo/application": "client",
    "microservo/cli": "client",
    "microservo/system": "system",
    HELPERS: HELPERS,
}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the code by its path from the root."""
    folders = ("services", "streams", "microservo")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in paths}


def component_of(path: str) -> str | None:
    if path.startswith("services/"):
        return path.split("/")[1]
    return next((name for folder, name in COMPONENTS.items() if path.startswith(f"{folder}/")), None)


def topics_named(tree: ast.Module) -> Iterator[str]:
    """The topics whose constants a module uses; an import alone is no use."""
    imported = {name for name in TOPICS if f"{catalogue.__name__}.{name}" in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in imported:
            yield TOPICS[node.id]
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "catalogue" and node.attr in TOPICS:
            yield TOPICS[node.attr]


def imports(tree: ast.Module) -> set[str]:
    """Modules that a module imports, with what it takes out of packages."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def named_directly() -> dict[str, set[str]]:
    """Components by the topics that they name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees().items():
        if (component := component_of(path)) not in (None, HELPERS):
            for topic in topics_named(tree):
                found[topic].add(str(component))
    return found


@cache
def named_by_helpers() -> dict[str, set[str]]:
    """Components by the topics that a helper which they import names."""
    helpers = {
        path.removesuffix(".py").replace("/", "."): set(topics_named(tree))
        for path, tree in trees().items()
        if component_of(path) == HELPERS
    }
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees().items():
        if (component := component_of(path)) not in (None, HELPERS):
            for helper in imports(tree) & helpers.keys():
                for topic in helpers[helper]:
                    found[topic].add(str(component))
    return found


@pytest.mark.parametrize("topic", catalogue.catalogue())
def test_whoever_names_a_topic_is_known_to_write_or_read_it(topic: str) -> None:
    entry = catalogue.catalogue()[topic]
    known = {*entry.producers, *entry.consumers}
    unknown = named_directly()[topic] - known
    assert not unknown, f"schemas/topics/{topic}.toml knows nothing of {sorted(unknown)}"


@pytest.mark.parametrize("topic", catalogue.catalogue())
def test_whoever_is_said_to_read_a_topic_does(topic: str) -> None:
    entry = catalogue.catalogue()[topic]
    readers = named_directly()[topic] | named_by_helpers()[topic]
    idle = set(entry.consumers) - readers
    assert not idle, f"schemas/topics/{topic}.toml says that {sorted(idle)} read it; no module of theirs does"


def publishers() -> Iterator[tuple[str, str]]:
    """The component that makes a publisher or has one made, and the process that it says to be."""
    for path, tree in trees().items():
        constants = constants_of(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            named = [each.value for each in node.keywords if each.arg == "process"]
            named += node.args[1:2] if ast.unparse(node.func) == "Publisher" else []
            for process in named:
                text = (
                    process.value
                    if isinstance(process, ast.Constant)
                    else constants.get(ast.unparse(process))
                )
                # A helper gets it from its caller, who is looked at too.
                assert text or component_of(path) == HELPERS, f"{path}: name the process where it is made"
                if text:
                    yield component_of(path) or path, str(text)


def constants_of(tree: ast.Module) -> dict[str, object]:
    """Texts and numbers that a module gives a name."""
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }


def test_whoever_is_said_to_write_a_topic_publishes_under_its_own_name() -> None:
    """That nobody publishes what isn't his is the publisher's own refusal."""
    made = set(publishers())
    assert {process for _, process in made} == {
        process for topic in catalogue.catalogue().values() for process in topic.producers
    }
    assert {(component, process) for component, process in made if component != HELPERS} <= {
        (process, process) for _, process in made
    }


def test_nobody_makes_messages_by_hand() -> None:
    makers = {
        path
        for path, tree in trees().items()
        if "schemas.envelope.cloud_event" in imports(tree) and not path.startswith(f"{HELPERS}/")
    }
    assert not makers, "publish records by microservo.log.publisher"
