"""What the pages for users of the two systems name is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from microservo.cli.root import COMMANDS
from microservo.client.algorithms import Algorithms
from microservo.client.board import Boards
from microservo.client.campaigns import Campaigns
from microservo.client.datasets import Datasets
from microservo.client.faults import Faults
from microservo.client.manager import Manager
from microservo.client.schedules import Schedules
from microservo.client.tasks import EvaluationTasks
from microservo.client.topics import Topics
from microservo.platforms.local.topology_files import read_topology, shipped_topologies
from schemas.catalogue import catalogue

DOCS = Path(__file__).parents[2] / "docs"
NAMESPACES = {
    "algorithms": Algorithms,
    "board": Boards,
    "campaigns": Campaigns,
    "datasets": Datasets,
    "faults": Faults,
    "manager": Manager,
    "schedules": Schedules,
    "tasks": EvaluationTasks,
    "topics": Topics,
}
every_page = pytest.mark.parametrize("page", ["coming_from_usmanager.md", "coming_from_microservo.md"])


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


@every_page
def test_commands_are_there_unless_they_are_planned(page: str) -> None:
    for command, more in re.findall(r"`microservo ([a-z]+)(?: ([a-z]+))?", text_of(page)):
        assert command in COMMANDS
        module, _, name = COMMANDS[command].partition(":")
        found = getattr(import_module(module), name)
        assert not hasattr(found, "commands") or not more or more in found.commands, f"{command} {more}"


@every_page
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https)([^)#]+)", text_of(page)):
        assert (DOCS / link).exists(), link


@every_page
def test_methods_of_the_client_are_there(page: str) -> None:
    for namespace, method in re.findall(r"`client\.(\w+)\.(\w+)", text_of(page)):
        assert hasattr(NAMESPACES[namespace], method), f"{namespace}.{method}"


@every_page
def test_modules_are_there(page: str) -> None:
    for module in re.findall(r"`(microservo\.[a-z_.]+)`", text_of(page)):
        import_module(module)


def test_each_weak_point_of_the_first_system_has_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d+): [^|]+\| ([^|]+) \|$", text_of("coming_from_microservo.md"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == [5, 6, 7, *range(13, 29)]
    for number, cell in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        assert named, f"weak point {number} names no test"
        for path, test in named:
            source = (DOCS.parent / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{path}::{test}"


@every_page
def test_topics_and_topologies_are_there(page: str) -> None:
    named = set(
        re.findall(
            r"`((?:telemetry|fault|service|labelled|feature|system|request|control)-[a-z]+)`", text_of(page)
        )
    )
    assert named <= set(catalogue())
    assert set(re.findall(r"`--topology ([a-z-]+)`", text_of(page))) <= set(shipped_topologies())


def test_each_application_of_usmanager_is_told_with_its_true_number_of_services() -> None:
    told = re.findall(r"`--topology ([a-z-]+)` \((\d+)\)", text_of("coming_from_usmanager.md"))
    assert {name: int(count) for name, count in told} == {
        name: len(read_topology(name).services) for name in shipped_topologies()
    }
