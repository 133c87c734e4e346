"""The formats of others that a dataset can be exported in: their names, and what came of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FORMATS: Mapping[str, str] = {
    "rcaeval": "RCAEval RE2: a folder per fault with metrics, logs, traces and their series every 15 s",
    "tsb-ad-m": "TSB-AD-M: a multivariate series per service, labelled window by window",
    "nab": "Numenta Anomaly Benchmark: a series per service and signal, with anomaly windows",
    "nezha": "Nezha: a file per minute of logs and traces, metrics per pod, faults by hour",
    "openrca": "OpenRCA: telemetry by day in UTC+8, records of root causes, questions about them",
    "aiops2022": "AIOps challenge of 2022: a file per KPI, spans, lines, ground truth by day in UTC+8",
    "huggingface": "Hugging Face: a folder per table with splits by time, and a card that loads them",
    "microservo": "the first MicroServo: log, trace and metric CSV files, groundtruth.json",
}
"""What each is, by the name that `--format` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What came of an export.

    Attributes:
        format_name: one of `FORMATS`.
        files: paths in the folder that was made, sorted.
        losses: what the format could not hold, a sentence each, as `loss.md` lists it.
    """

    format_name: str
    files: tuple[str, ...]
    losses: tuple[str, ...]
