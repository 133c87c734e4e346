"""The archiver: makes a dataset of every run that is finished.

Consumes: `experiments` (key: run id; record: Experiment), then the finished run's own offset ranges of the
joined topics, `fault-events`, `service-graph` and `anomaly-scores`.
Produces: no topic; one folder per run under MICROSERVO_ARCHIVE_DIR.

State: the folders. At every start all runs are looked at again; a dataset that is there and verifies is left
alone, one that does not verify is kept beside the new one as `<run>.unverified-1` and so on.

Delivery: at least once; a dataset appears whole, by a rename, or not at all. One archiver per folder.
"""
