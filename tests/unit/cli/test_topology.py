"""Topologies on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
from click.testing import Result

from microservo.cli.completions import complete_topology

Run = Callable[..., Result]
SHIPPED = ["crash-test", "hotel-reservation", "media", "online-boutique", "social-network", "sock-shop"]
CYCLE = """
name = "ring"
entry = "user"
[services.user.endpoints.Register]
calls = [{ service = "graph", endpoint = "Insert" }]
[services.user.endpoints.Find]
[services.graph.endpoints.Insert]
[services.graph.endpoints.Follow]
calls = [{ service = "user", endpoint = "Find" }]
"""


def test_the_shipped_topologies_are_listed_with_their_figures(run: Run) -> None:
    found = [json.loads(line) for line in run("topology", "list", "--json").stdout.splitlines()]
    assert [each["name"] for each in found] == SHIPPED
    media = next(each for each in found if each["name"] == "media")
    assert (media["services"], media["databases"], media["entry"]) == (32, 18, "nginx-web-server")
    assert media["memory_bytes"] > 2**30
    table = run("topology", "list").stdout
    assert all(name in table for name in SHIPPED)
    assert f"{media['memory_bytes'] / 2**20:,.0f} MiB" in table


def test_a_topology_is_shown_by_wave_with_who_calls_whom_and_what_users_do(run: Run) -> None:
    shown = run("topology", "show", "sock-shop").stdout
    assert "sock-shop: 13 services, users come to front-end" in shown
    assert "front-end\n├─ carts\n│  └─ carts-db\n├─ catalogue\n" in shown
    assert "│  ├─ carts (above)\n" in shown, "what was shown before is not shown again"
    assert "checkout" in shown
    found = json.loads(run("topology", "show", "sock-shop", "--json").stdout)
    waves = {each["name"]: each["wave"] for each in found["services"]}
    assert (waves["carts-db"], waves["carts"], waves["orders"], waves["front-end"]) == (1, 2, 4, 5)
    assert found["launch_problem"] == ""
    assert sum(each["share"] for each in found["journeys"]) == 1.0


def test_a_file_whose_services_wait_for_one_another_is_shown_with_the_cycle(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ring.toml"
    file.write_text(CYCLE)
    result = run("topology", "show", str(file))
    assert result.exit_code == 0, result.output
    assert "not to be launched in waves: graph -> user -> graph: each waits for the next" in result.stdout
    assert json.loads(run("topology", "show", str(file), "--json").stdout)["services"][0]["wave"] is None


def test_an_unknown_one_is_refused_with_those_there_are(run: Run) -> None:
    result = run("topology", "show", "sock-shp")
    assert result.exit_code == 2
    assert "no topology is called 'sock-shp'; choose one of ['crash-test', " in result.stderr


def test_names_and_files_are_completed() -> None:
    ctx, parameter = click.Context(click.Command("show")), click.Argument(["name"])
    assert [each.value for each in complete_topology(ctx, parameter, "so")] == [
        "social-network",
        "sock-shop",
        "so",
    ]
    assert [each.type for each in complete_topology(ctx, parameter, "./mine")] == ["file"]
