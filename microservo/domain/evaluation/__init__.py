"""What a run's topics say, made into what the metrics of the board are worked out from.

::

    labelled-windows ─► Truths ────────┐
    fault-effects, service-faults ─► FaultFacts ─► incidents, faults, which fault a case is of
    anomaly-scores, alarms, root-causes, failure-classes ─► Said, by algorithm and version
    algorithms, algorithm-states ─► Traits         │
                                       └─► Scope, the same for all ─► judge ─► Evaluation
"""

from microservo.domain.evaluation.run import Read, RunEvaluation

__all__ = ["Read", "RunEvaluation"]
