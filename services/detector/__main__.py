from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.detector.service import run
from services.detector.settings import DetectorSettings

if __name__ == "__main__":
    sys.exit(run_program("detector", DetectorSettings, run))
