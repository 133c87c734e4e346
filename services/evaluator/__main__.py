from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.evaluator.service import run
from services.evaluator.settings import EvaluatorSettings

if __name__ == "__main__":
    sys.exit(run_program("evaluator", EvaluatorSettings, run))
