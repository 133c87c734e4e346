"""Memory that it takes to follow the pods of a namespace: one process that does nothing else.

python -m benchmarks.kubernetes_watch --namespace shop [--context C] [--kubeconfig FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time

from benchmarks.processes import peak_mb
from microservo.platforms.platform import InstanceChange
from microservo.platforms.target import KubernetesTarget, kubernetes_platform

_PATIENCE_S = 300.0


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--context")
    parser.add_argument("--kubeconfig")
    arguments = parser.parse_args()
    if arguments.kubeconfig:
        os.environ["KUBECONFIG"] = arguments.kubeconfig
    platform = kubernetes_platform(
        KubernetesTarget(namespaces=(arguments.namespace,), context=arguments.context)
    )
    changes = _Changes()
    before_mb, began_s = peak_mb(os.getpid()), time.monotonic()
    with platform.watch(changes.count):
        pods = changes.settled()
        found = {
            "pods": pods,
            "elapsed_s": changes.newest_s - began_s,
            "cpu_s": time.process_time(),
            "before_mb": before_mb,
            "peak_mb": peak_mb(os.getpid()),
        }
    print(json.dumps(found))


class _Changes:
    """Counts changes and keeps none."""

    def __init__(self) -> None:
        self._seen = 0
        self.newest_s = 0.0
        self._any = threading.Event()

    def count(self, _: InstanceChange) -> None:
        self._seen += 1
        self.newest_s = time.monotonic()
        self._any.set()

    def settled(self) -> int:
        """How many came, once no more do."""
        if not self._any.wait(_PATIENCE_S):
            msg = f"no pod was seen in {_PATIENCE_S:g} s"
            raise RuntimeError(msg)
        while time.monotonic() - self.newest_s < 2:
            time.sleep(0.1)
        return self._seen


if __name__ == "__main__":
    main()
