"""The ranker of a deployment: a function with RCAEval's signature, told of alarms and never of faults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .cases import Case, load_tables
from .objects import Maker, Refused, find

_SIGNALS = {"logs": ("log/",), "traces": ("request/", "call/", "consume/", "internal/")}
_OFFERED = ("graph", "services", "deviations", "peaks", *_SIGNALS)
_DATASET = "microservo"
"""RCAEval's functions prepare a table where a dataset is named only: without, they rank its `time`, too."""


class Ranker:
    """Ranks what may be the cause of an alarm, most likely first.

    It is called as `f(data, inject_time, dataset="microservo")`, or with the dataset that `params` say. Of
    `graph`, `services`, `deviations`, `peaks`, `logs` and `traces` it gets what it has a parameter for; a
    table of its own is not in `data` as well.

    Args:
        declaration: `object`, `params`, `features` and `seed`.

    Raises:
        Refused: the object can't be called like that.
    """

    def __init__(self, declaration: Mapping[str, Any]) -> None:
        maker = Maker(find(declaration["object"]), declaration["params"], declaration["seed"])
        self._function: Callable[..., Any] = maker()
        if not callable(self._function):
            msg = f"{declaration['object']!r} is no ranker; expected f(data, inject_time, dataset=None, **kw)"
            raise Refused(msg)
        self._is_raw = declaration["features"] == "raw"
        # Before the first alarm, which should not wait for it.
        load_tables()
        self._dataset = declaration["params"].get("dataset", _DATASET)
        parameters = inspect.signature(self._function).parameters
        self._taken = [name for name in _OFFERED if name in parameters]
        self.style, self.sign = "rank", 1

    def rank(self, case: Case) -> list[str]:
        """Columns or services, the most likely cause first.

        Raises:
            TypeError: it gave something else.
            RuntimeError: it is of RCAEval, and failed.
        """
        if not self._is_raw:
            case.complete()
        own = tuple(prefix for name in self._taken for prefix in _SIGNALS.get(name, ()))
        data = case.table(lambda name: not name.startswith(own) if own else True)
        found = self._function(data, case.alarm_s, dataset=self._dataset, **self._offered(case))
        ranks = found.get("ranks") if isinstance(found, Mapping) else None
        if not isinstance(ranks, list) or not all(isinstance(name, str) for name in ranks):
            msg = f'it gave {str(found)[:80]!r}; expected {{"ranks": [...]}} with a list of names'
            raise TypeError(msg)
        if found.get("adj") == [] and found.get("node_names") == ranks:
            # What RCAEval's wrapper gives for whatever was raised: an order that passes for an answer.
            msg = "RCAEval could not rank this case and gave the columns as they came; the log has its reason"
            raise RuntimeError(msg)
        return ranks

    def snapshot(self) -> Mapping[str, Any]:
        """Nothing: what a ranker knows is in the case."""
        return {}

    def restore(self, learned: Mapping[str, Any]) -> None:
        """There is nothing to go on from."""

    def _offered(self, case: Case) -> dict[str, Any]:
        offers: dict[str, Callable[[], Any]] = {
            "graph": lambda: list(case.graph),
            "services": lambda: list(case.columns),
            "deviations": case.deviations,
            "peaks": case.peaks,
            "logs": lambda: case.table(lambda name: name.startswith(_SIGNALS["logs"])),
            "traces": lambda: case.table(lambda name: name.startswith(_SIGNALS["traces"])),
        }
        return {name: offers[name]() for name in self._taken}
