from __future__ import annotations

import time

from microservo.application.following import POLL_S
from microservo.application.progress import Progress


def count_down(progress: Progress, title: str, duration_s: float) -> None:
    """Waits, and shows for how long still."""
    begin_s = time.monotonic()
    with progress.stage(title) as stage:
        while (gone_s := time.monotonic() - begin_s) < duration_s:
            stage.advance(gone_s, duration_s)
            stage.show(f"{duration_s - gone_s:.0f} s")
            time.sleep(POLL_S)
        stage.show(f"{duration_s:.0f} s waited")
