"""Has NAB's own code read a corpus and score detectors on it; prints JSON.

::

    PYTHONPATH=NAB python foreign_nab.py CORPUS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COSTS = {"tpWeight": 1.0, "fpWeight": 0.11, "fnWeight": 1.0}


def main() -> None:
    """Prints of each file how many windows there are, and the scores of who knows them and who is silent."""
    from nab.corpus import Corpus  # noqa: PLC0415
    from nab.labeler import CorpusLabel  # noqa: PLC0415
    from nab.sweeper import Sweeper  # noqa: PLC0415

    folder = Path(sys.argv[1])
    corpus = Corpus(str(folder / "data"))
    labels = CorpusLabel(str(folder / "labels" / "combined_windows.json"), corpus)
    labels.validateLabels()
    found: dict[str, Any] = {}
    for name, file in corpus.dataFiles.items():
        windows = labels.windows[name]
        firsts = [first for first, _ in windows]
        times = list(file.data["timestamp"])
        scores = {"perfect": [float(each in firsts) for each in times], "silent": [0.0] * len(times)}
        found[name] = {"windows": len(windows)}
        for kind, given in scores.items():
            sweeper = Sweeper(probationPercent=0.15, costMatrix=COSTS)
            _, row = sweeper.scoreDataSet(times, given, windows, name, 1.0)
            found[name][kind] = row.score
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
