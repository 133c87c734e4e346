"""The formats of others that a dataset can be exported in: their names, and what came of an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FORMATS: Mapping[str, str] = {
    "rcaeval": "RCAEval RE2: a case per fault, of metrics, logs and traces",
    "tsb-ad-m": "TSB-AD-M: a labelled multivariate series per service",
    "nab": "Numenta Anomaly Benchmark: series and windows of anomalies",
    "nezha": "Nezha: minutes of logs and traces, metrics per pod, faults",
    "openrca": "OpenRCA: telemetry by day, root causes, questions about them",
    "aiops2022": "AIOps challenge of 2022: files per KPI, ground truth by day",
    "eadro": "Eadro: a row a second, lines and traces as JSON, faults",
    "rcabench": "RCABench: a datapack per fault, of OpenTelemetry's tables",
    "huggingface": "Hugging Face: tables with splits by time, and their card",
    "microservo": "the first MicroServo: CSV files and groundtruth.json",
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
