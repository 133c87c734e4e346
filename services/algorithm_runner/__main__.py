from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.algorithm_runner.service import run
from services.algorithm_runner.settings import AlgorithmRunnerSettings

if __name__ == "__main__":
    sys.exit(run_program("algorithm-runner", AlgorithmRunnerSettings, run))
