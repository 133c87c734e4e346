"""The detector: one algorithm that scores every window of features as it closes.

Consumes: `feature-windows` (key: service name; record: FeatureWindow), revision 0 of the run. Never labels.
Produces: `anomaly-scores` (key: service name; record: AnomalyScore), and `feature-windows-dlq` for what can't
be read.

State: one detector per service, in memory. It is learned afresh from `feature-windows` itself whenever a
partition is taken over: the newest 500 windows of each service before the first that is to be scored, read
backwards from there, so that a long log costs no more than a short one. So no second store could disagree
with the log.

Delivery: at least once; the offset is committed after the scores are durable. A window scored twice gets the
same score, but another `scored_at_us` and `latency_us`. (A service with more than 500 windows behind it is
learned from the newest 500 after a restart; in N-sigma's memory all before them weighs 0.02 % by then. One
that was silent for longer than 500 windows last, 42 minutes of 5 s, begins afresh.)
"""
