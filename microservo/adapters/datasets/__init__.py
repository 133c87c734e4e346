"""Datasets: rebuilt from the log, verified, reported. `microservo.domain.datasets` says what they mean."""

from microservo.adapters.datasets.live import verify_against_live
from microservo.adapters.datasets.rebuild import rebuild
from microservo.adapters.datasets.runs import find_run, runs
from microservo.adapters.datasets.verify import content_hash, read_manifest, verify

__all__ = ["content_hash", "find_run", "read_manifest", "rebuild", "runs", "verify", "verify_against_live"]
