"""A worker of a rebuild makes Arrow's arrays without loading pandas."""

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
