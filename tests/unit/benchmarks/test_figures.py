from __future__ import annotations

import json
from pathlib import Path

from benchmarks.figures import Figure, figure, replace_in, write


def measured(name: str, value: float | None) -> Figure:
    return figure(name, value, "ms", peer="asked for", peer_value=100, command="make bench")


def test_later_figures_take_the_place_of_those_of_the_same_name(tmp_path: Path) -> None:
    write([measured("label", None), measured("rebuild", 5)], ["a machine"], tmp_path)
    replace_in(tmp_path, [measured("label", 50)], "latencies: first")
    replace_in(tmp_path, [measured("label", 60)], "latencies: second")
    found = json.loads((tmp_path / "latest.json").read_text("utf-8"))
    assert [(each["name"], each["value"], each["ratio"]) for each in found] == [
        ("label", 60, 0.6),
        ("rebuild", 5, 0.05),
    ]
    text = (tmp_path / "latest.md").read_text("utf-8")
    assert "- a machine\n- latencies: second\n" in text
    assert "| label | 60 ms | asked for | 100 ms | 0.60 |" in text
