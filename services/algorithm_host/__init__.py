"""The host of one deployed algorithm: the trusted side of the fence.

Consumes: `algorithm-files` at its first start, for the code of what its runner tells it to run;
`feature-windows` of the run (key service, FeatureWindow, first revisions), every partition, without a group;
`experiments` for the run's fault-free time; for rankers and classifiers also `cases` and `service-graph`.
Never labels, and nothing that names a fault.
Produces: `anomaly-scores` (key service), `alarms` (key service) and `cases` (key case id) for a detector,
`root-causes` for a ranker, `failure-classes` for a classifier (key case id); `algorithm-states` (key
deployment id), once a second while anything changes; dead letters of windows that can't be read.

State: the algorithm's memory, as bytes that are never loaded here, and how far it has come, in a folder of
its own. It goes on from there after a restart; without it, it learns again from the log of the run.

Delivery: at least once. What was published is known by its offset, which is written down after each flush: a
host that is killed in between publishes one batch again, with the same scores. Who reads them counts the
score of a window and deployment once.
"""
