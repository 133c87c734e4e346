"""Has TSB-AD score a file as its scripts do: with the label as the score, and upside down; prints JSON.

::

    python foreign_tsb_ad.py FILE.csv
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Prints the metrics of both, and what of the file was left by its loader."""
    import pandas as pd  # noqa: PLC0415
    from TSB_AD.evaluation.metrics import get_metrics  # noqa: PLC0415

    path = Path(sys.argv[1])
    # The three lines of TSB_AD.main.
    table = pd.read_csv(path).dropna()
    data = table.iloc[:, 0:-1].values.astype(float)
    label = table["Label"].astype(int).to_numpy()
    train = int(path.name.split(".")[0].split("_")[-3])
    found = {
        "rows": len(data),
        "columns": data.shape[1],
        "train_anomalies": int(label[:train].sum()),
        "perfect": get_metrics(label.astype(float), label, slidingWindow=5),
        "worst": get_metrics(1.0 - label, label, slidingWindow=5),
    }
    json.dump(found, sys.stdout, default=float)


if __name__ == "__main__":
    main()
