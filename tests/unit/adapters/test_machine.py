from __future__ import annotations

from pathlib import Path

from microservo.adapters.machine import available_memory_bytes


def test_memory_that_a_control_group_has_left_counts_as_well(tmp_path: Path) -> None:
    unlimited = available_memory_bytes([tmp_path])
    assert unlimited > 10_000
    (tmp_path / "memory.max").write_text("9000\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 700\n")
    assert available_memory_bytes([tmp_path]) == 4700
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory_bytes([tmp_path]) > 10_000


def test_so_it_does_in_version_1(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text("9000\n")
    (tmp_path / "memory.usage_in_bytes").write_text("9200\n")
    (tmp_path / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 300\n")
    assert available_memory_bytes([tmp_path]) == 100
