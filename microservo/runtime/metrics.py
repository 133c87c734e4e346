"""Every metric of MicroServo's own processes, declared once; served on `/metrics` by `runtime.health`.

Each stage of the pipeline counts what goes in, what comes out and what is refused, so that a loss shows where
it happened.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RECORDS_TOTAL = Counter(
    "microservo_records_total",
    "Records handled; outcome is in, out, late, duplicate, dropped, rejected, or unfinished (their window "
    "was not final when their run ended).",
    ("service", "topic", "outcome"),
)
MESSAGES_TOTAL = Counter(
    "microservo_messages_total",
    "Messages on the wire; outcome is in or out.",
    ("service", "topic", "outcome"),
)
DEAD_LETTERS_TOTAL = Counter(
    "microservo_dead_letters_total",
    "Messages and raw inputs that were put on a dead-letter topic, by the topic they belonged to and the "
    "reason, numbers and quotations left out.",
    ("topic", "reason"),
)
REFUSED_BODIES_TOTAL = Counter(
    "microservo_refused_bodies_total",
    "OTLP requests refused with all they held, by the topic meant; reason is too_large, too_many_records or "
    "invalid (kept as dead letters), unread (too large to be read), unsupported, not_found, method or "
    "foreign_host (nothing is kept), or memory_full, queue_full, not_durable or closing (sent again later).",
    ("topic", "reason"),
)
RETRIES_TOTAL = Counter(
    "microservo_retries_total",
    "Attempts that failed for now and were repeated; stage is consume, handle, commit, housekeeping, flush, "
    "or runs.",
    ("stage",),
)
BATCH_SECONDS = Histogram(
    "microservo_batch_seconds",
    "Seconds from having a batch of messages to having committed it.",
    buckets=_LATENCY_BUCKETS_S,
)
STAGE_LATENCY_SECONDS = Histogram(
    "microservo_stage_latency_seconds",
    "Seconds that a stage took, from the instant it waits for to its result on the topic.",
    ("stage",),
    buckets=_LATENCY_BUCKETS_S,
)
WATERMARK_LAG_SECONDS = Gauge(
    "microservo_watermark_lag_seconds",
    "Seconds between the wall clock and the event time up to which joined topics are complete, by partition.",
    ("partition",),
)
WINDOWS_TOTAL = Counter(
    "microservo_windows_total",
    "Windows made, by revision.",
    ("revision",),
)
FAULTS_ACTIVE = Gauge(
    "microservo_faults_active",
    "Faults in force at this moment, by kind.",
    ("kind",),
)
FAULT_EVENTS_TOTAL = Counter(
    "microservo_fault_events_total",
    "Steps in the stories of faults, by the state reached.",
    ("state",),
)
SOURCE_READ_UNTIL_SECONDS = Gauge(
    "microservo_source_read_until_seconds",
    "Instant up to which what a source reads is on its topics, in seconds since 1970.",
    ["source"],
)
QUEUE_RECORDS = Gauge(
    "microservo_queue_records",
    "Records that wait in a bounded queue.",
    ("queue",),
)
REQUESTS_TOTAL = Counter(
    "microservo_http_requests_total",
    "HTTP requests answered by a service of MicroServo, by path and status.",
    ("path", "status"),
)
SCORES_TOTAL = Counter(
    "microservo_scores_total",
    "Windows scored, by algorithm.",
    ("algorithm",),
)
