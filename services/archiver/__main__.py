from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.archiver.service import run
from services.archiver.settings import ArchiverSettings

if __name__ == "__main__":
    sys.exit(run_program("archiver", ArchiverSettings, run))
