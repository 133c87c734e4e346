"""A worker of a rebuild loads what it needs and no more, for all of them wait until it did."""

from __future__ import annotations

import subprocess
import sys

_ARRAYS = """
import sys
from microservo.datasets import worker
sys.stdin.close()
sys.stdin = open("/dev/null")
worker.main()
import numpy as np, pyarrow as pa
assert pa.array([1, 2]).to_numpy().tolist() == [1, 2]
assert pa.table({"a": np.arange(2)}).num_rows == 2
assert "pandas" not in sys.modules
"""


def test_arrays_of_a_worker_need_no_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", _ARRAYS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


_LOADED = "import sys, microservo.datasets.worker; print(*sys.modules)"
_OF_OTHERS = {
    "jinja2",
    "pyarrow.parquet",
    "microservo.datasets.files",
    "microservo.datasets.report",
    "microservo.datasets.verifying",
    "microservo.domain.faults.catalogue",
}


def test_a_worker_loads_nothing_that_only_writes_reports_or_files_of_a_dataset() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert not _OF_OTHERS & set(done.stdout.split())
