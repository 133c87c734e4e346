"""Keeps the board up to date, and works on evaluation tasks.

It holds what algorithms said against what was true, which they never see.

What is worked out, and on what, is decided by `microservo.domain.evaluation`, which knows no clock and no
broker; this process feeds it with what a run writes.

Consumes, every partition, without a group: `anomaly-scores`, `alarms` (key service), `cases`, `root-causes`,
`failure-classes` (key case id); `labelled-windows`, `service-faults`, `fault-effects` (key service);
`experiments`, `algorithms`, `algorithm-states`; at its start `evaluations`, for what was removed since.
`evaluation-requests` (key task id, EvaluationRequest) and `evaluation-tasks`, from their beginnings.
Produces: `evaluations` (key evaluation id, Evaluation), some seconds after something changed, with all
metrics, breakdowns and intervals once the run is over; `cases` of the oracle (key case id, Case), when a
fault is final: so rankers and classifiers are asked with the true instant as well. No detector reads cases.
`evaluation-tasks` (key attempt id, EvaluationTask): claims, progress and results.

Tasks are worked on in a thread of their own, which only looks after a process for each: a board update never
waits for them. A process ends with the evaluator; the lease of its task then runs out within ten seconds, and
the next evaluator begins it anew (`microservo.domain.evaluation_tasks`).

State: none. On start it reads the run back and ends at the same digits.

Delivery: an evaluation is published again after a restart where it differs. A case of the oracle that a
killed process published is found on the log; one that comes twice is answered once. One evaluator per run.
"""
