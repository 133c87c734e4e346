"""The formats of others that a recording can be imported from: the one list of them."""

from __future__ import annotations

from collections.abc import Mapping

AUTO = "auto"
"""Stands for the format that a folder looks like."""
IMPORT_FORMATS: Mapping[str, str] = {
    "nezha": "a run per day, of construct_data and rca_data; no ends of faults",
    "rcaeval": "a run per case, <service>_<fault>/<n> with inject_time.txt; no ends",
    "petshop": "a run per folder with metrics.csv: noissue, and each issue",
    "nab": "one run of data/<service>/<signal>.csv and labels/combined_windows.json",
    "otlp-json": "one run of *.json and *.jsonl (also .zst, .gz), by OpenTelemetry; no faults",
}
"""What becomes of each, by the name that `--format` takes; `auto` looks in this order."""
