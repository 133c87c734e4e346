"""What an algorithm is, how one is declared, and the host's end of the pipe to the process that runs it.

Nothing here imports a plug-in. `fenced` runs beside it, in its own environment and behind the fence.
"""

from microservo.algorithms.declaration import Declaration, Step
from microservo.algorithms.protocols import Classifier, Detector, PersistentDetector, Ranker
from microservo.algorithms.session import Case, Counts, Ranking, Scores, Session
from microservo.algorithms.spec import Plugin, resolve

__all__ = [
    "Case",
    "Classifier",
    "Counts",
    "Declaration",
    "Detector",
    "PersistentDetector",
    "Plugin",
    "Ranker",
    "Ranking",
    "Scores",
    "Session",
    "Step",
    "resolve",
]
