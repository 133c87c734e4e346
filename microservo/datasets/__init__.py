"""Datasets: rebuilt from the log, verified, reported. `microservo.domain.datasets` says what they mean."""

from microservo.datasets.live import verify_against_live
from microservo.datasets.rebuild import rebuild
from microservo.datasets.verify import content_hash, read_manifest, verify
from microservo.log.runs import find_run, runs

__all__ = ["content_hash", "find_run", "read_manifest", "rebuild", "runs", "verify", "verify_against_live"]
