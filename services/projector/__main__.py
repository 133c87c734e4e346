from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.projector.service import run
from services.projector.settings import ProjectorSettings

if __name__ == "__main__":
    sys.exit(run_program("projector", ProjectorSettings, run))
