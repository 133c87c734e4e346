"""A worker of a rebuild loads what it needs and no more, for all of them wait until it did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_REBUILT = """
import sys
from pathlib import Path
from recorded_run import record_run
from synthetic import Story
from microservo.datasets import rebuild, verify
from microservo.datasets.files import read_columns
from microservo.datasets.slices import load, store
from microservo.datasets.tables import TABLES
from microservo.testing import MemoryBroker

scratch = Path(sys.argv[1])
broker = MemoryBroker()
record_run(broker, Story(seconds=60))
rebuild(broker, run_id="run-1", out_dir=scratch / "dataset")
assert not verify(scratch / "dataset")
store(scratch, 1, {name: read_columns(scratch / "dataset" / name) for name in TABLES})
assert len(load(scratch, 1)) == len(TABLES)
assert "pandas" not in sys.modules
"""


def test_a_rebuild_its_workers_and_the_check_of_a_dataset_do_not_load_pandas(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _REBUILT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


_LOADED = "import sys, microservo.datasets.worker; print(*sys.modules)"
_OF_OTHERS = {
    "jinja2",
    "pydantic",
    "pydantic_settings",
    "pyarrow.parquet",
    "microservo.datasets.files",
    "microservo.datasets.report",
    "microservo.datasets.verifying",
    "microservo.domain.faults.catalogue",
}


def test_a_worker_loads_nothing_that_only_reads_settings_or_writes_reports_or_files_of_a_dataset() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert not _OF_OTHERS & set(done.stdout.split())
