from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.algorithm_host.service import run
from services.algorithm_host.settings import AlgorithmHostSettings

if __name__ == "__main__":
    sys.exit(run_program("algorithm-host", AlgorithmHostSettings, run))
