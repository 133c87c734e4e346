from __future__ import annotations

import os
from pathlib import Path

from services.algorithm_host.memory import KEPT_RUNS, Learned, Memory


def write(folder: Path, run_id: str, at_s: float) -> None:
    Memory(folder, run_id).write_learned(Learned(next_offsets={0: 1}, host={}, algorithm=run_id.encode()))
    os.utime(folder / "memory" / run_id, (at_s, at_s))


def test_what_was_learned_in_old_runs_is_forgotten_but_for_the_last_few(tmp_path: Path) -> None:
    for at in range(KEPT_RUNS + 3):
        write(tmp_path, f"run-{at}", at_s=1000.0 + at)
    Memory(tmp_path, "run-0").forget_old_runs()
    kept = sorted(path.name for path in (tmp_path / "memory").iterdir())
    assert kept == ["run-0", *(f"run-{at}" for at in range(3, KEPT_RUNS + 3))]
    learned = Memory(tmp_path, "run-0").learned()
    assert learned is not None
    assert learned.algorithm == b"run-0"


def test_where_nothing_was_learned_there_is_nothing_to_forget(tmp_path: Path) -> None:
    Memory(tmp_path, "run-1").forget_old_runs()
    assert list(tmp_path.iterdir()) == []
