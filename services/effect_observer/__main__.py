from __future__ import annotations

import sys

from microservo.runtime.program import run_program
from services.effect_observer.service import run
from services.effect_observer.settings import EffectObserverSettings

if __name__ == "__main__":
    sys.exit(run_program("effect-observer", EffectObserverSettings, run))
