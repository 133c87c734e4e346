"""Detectors: what is anomalous in a window of features, judged online."""

from microservo.domain.detectors.bank import DetectorBank, Watched
from microservo.domain.detectors.base import (
    Detector,
    Features,
    Featuriser,
    PersistentDetector,
    Snapshot,
    all_features,
    is_control,
)
from microservo.domain.detectors.catalogue import ALGORITHMS, make_detector
from microservo.domain.detectors.n_sigma import NSigma
from microservo.domain.detectors.random_control import RandomControl

__all__ = [
    "ALGORITHMS",
    "Detector",
    "DetectorBank",
    "Features",
    "Featuriser",
    "NSigma",
    "PersistentDetector",
    "RandomControl",
    "Snapshot",
    "Watched",
    "all_features",
    "is_control",
    "make_detector",
]
