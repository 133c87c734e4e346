"""Makes the part of the Numenta Anomaly Benchmark that its published board is checked with.

From a checkout of github.com/numenta/NAB (MIT licence)::

    python tests/support/nab_reference.py NAB > tests/golden/scoring/nab.json

Kept are, of each file, how many rows it has and which ones its windows span, and of each detector the rows
that score at least as much as the lowest of its published thresholds; all others are never flagged.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

LOWEST = {"windowedGaussian": 0.99999, "skyline": 0.79, "contextOSE": 0.7}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _corpus(checkout: Path) -> dict[str, Any]:
    windows = json.loads((checkout / "labels" / "combined_windows.json").read_text("utf-8"))
    files: dict[str, Any] = {}
    detectors: dict[str, Any] = {name: {} for name in LOWEST}
    for name in sorted(windows):
        for detector, lowest in LOWEST.items():
            folder, file = name.split("/")
            rows = _rows(checkout / "results" / detector / folder / f"{detector}_{file}")
            place = {row["timestamp"]: index for index, row in reversed(list(enumerate(rows)))}
            spans = [[place[begin[:19]], place[end[:19]]] for begin, end in windows[name]]
            files[name] = {"rows": len(rows), "windows": spans}
            scores = [(index, float(row["anomaly_score"])) for index, row in enumerate(rows)]
            kept = [(index, score) for index, score in scores if score >= lowest]
            if kept:
                detectors[detector][name] = [[index for index, _ in kept], [score for _, score in kept]]
    return {"files": files, "detectors": detectors}


def main() -> None:
    """Prints the fixture."""
    checkout = Path(sys.argv[1])
    final = json.loads((checkout / "results" / "final_results.json").read_text("utf-8"))
    thresholds = json.loads((checkout / "config" / "thresholds.json").read_text("utf-8"))
    published = {
        name: {
            profile: {"score": final[name][profile], "threshold": thresholds[name][profile]["threshold"]}
            for profile in final[name]
        }
        for name in LOWEST
    }
    sys.stdout.write(json.dumps({"published": published, **_corpus(checkout)}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
