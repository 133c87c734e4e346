"""Runs RCAEval's own methods on a case, in an environment of its own, as its harness does; prints JSON.

::

    python foreign_rcaeval.py CASE baro|mmbaro
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LENGTH_S = 600


def main() -> None:
    """Prints what the method ranks."""
    import pandas as pd  # noqa: PLC0415
    from RCAEval import e2e  # noqa: PLC0415

    case, method = Path(sys.argv[1]), sys.argv[2]
    inject_time = int((case / "inject_time.txt").read_text("utf-8").splitlines()[0].strip())
    data = pd.read_csv(case / "simple_metrics.csv")
    data = data.loc[:, ~data.columns.str.endswith("_latency-50")]
    data = data.replace([float("inf"), float("-inf")], float("nan")).ffill().fillna(0)
    data = _around(data, inject_time, LENGTH_S)
    data = data.rename(columns=lambda name: name.replace("_latency-90", "_latency"))
    given: Any = data
    if method == "mmbaro":
        names = ("logts", "tracets_err", "tracets_lat")
        given = {"metric": data, **{name: pd.read_csv(case / f"{name}.csv") for name in names}}
        given |= {name: _around(given[name], inject_time, LENGTH_S // 15) for name in names}
    found = getattr(e2e, method)(given, inject_time, dataset="re2-ob", dk_select_useful=False)
    json.dump(found["ranks"], sys.stdout)


def _around(table: Any, inject_time: int, rows: int) -> Any:
    import pandas as pd  # noqa: PLC0415

    before, behind = table[table["time"] < inject_time], table[table["time"] >= inject_time]
    return pd.concat([before.tail(rows), behind.head(rows)], ignore_index=True)


if __name__ == "__main__":
    main()
