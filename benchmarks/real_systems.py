"""The real systems that tests start, for benchmarks: `tests/support` is no package."""

from __future__ import annotations

import sys

from benchmarks.processes import ROOT

sys.path.append(str(ROOT / "tests" / "support"))

from chaos_controller import ChaosController  # found by what stands above
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace, running_cluster  # likewise
from otel_collector import VERSION, running_collector  # likewise
from real_elasticsearch import real_elasticsearch  # likewise
from real_prometheus import real_prometheus  # likewise
from recorded_progress import RecordedProgress  # likewise

__all__ = [
    "VERSION",
    "ChaosController",
    "Cluster",
    "RecordedProgress",
    "Workloads",
    "new_namespace",
    "real_elasticsearch",
    "real_prometheus",
    "running_cluster",
    "running_collector",
]
