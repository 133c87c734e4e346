"""The rebuild of a run's dataset, in a process of its own."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from microservo.adapters.datasets import rebuild
from microservo.adapters.kafka import KafkaBroker, KafkaSettings

_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def main() -> int:
    """Prints seconds, processor seconds, peak memory and bytes written: BOOTSTRAP RUN."""
    bootstrap, run_id = sys.argv[1:3]
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=bootstrap))
    with tempfile.TemporaryDirectory() as folder:
        started_s, cpu_started_s = time.perf_counter(), time.process_time()
        manifest = rebuild(broker, run_id=run_id, out_dir=Path(folder) / "dataset")
        result = {
            "elapsed_s": time.perf_counter() - started_s,
            "cpu_s": time.process_time() - cpu_started_s,
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES,
            "dataset_bytes": sum(file.size_bytes for file in manifest.files),
        }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
