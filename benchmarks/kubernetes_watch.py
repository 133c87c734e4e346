"""Memory and time that it takes to follow the pods of a namespace: what the injector holds of a large target.

python -m benchmarks.kubernetes_watch --namespace shop [--context C]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from microservo.platforms.platform import InstanceChange
from microservo.platforms.target import KubernetesTarget, kubernetes_platform
from microservo.testing import eventually

_PATIENCE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--context")
    arguments = parser.parse_args()
    platform = kubernetes_platform(
        KubernetesTarget(namespaces=(arguments.namespace,), context=arguments.context)
    )
    seen: list[InstanceChange] = []
    before_mb, began_s = _peak_mb(), time.monotonic()
    with platform.watch(seen.append):
        eventually(lambda: len(seen) > 0, timeout_s=_PATIENCE_S, what="the first pod")
        listed = eventually(lambda: _settled(seen), timeout_s=_PATIENCE_S, what="all pods")
        print(f"{listed} pods in {time.monotonic() - began_s:.1f} s, {len(platform.instances())} instances")
        print(f"peak resident memory {_peak_mb():.0f} MB, {before_mb:.0f} MB of it before the watch")


def _settled(seen: list[InstanceChange]) -> int:
    """How many were seen, once no more come."""
    before = len(seen)
    time.sleep(1)
    return before if before == len(seen) else 0


def _peak_mb() -> float:
    """Of this program alone: getrusage also knows of the one that started it."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
