"""Evaluation tasks: what was asked for, which attempt counts, where a task stands, what is to be done next.

::

    scheduled ──► waiting ──► running ──► done | failed
                     ▲         │  ▲
                     │         ▼  │
                     └─────── paused          from each of these: interrupted; from anywhere: rerun

Requests and attempts lie on topics of their own. Kafka can't compare before it writes, so an evaluator claims
a task, and works once it has read that its claim counts: in the order of the log one attempt counts, and the
same one still does where the log was compacted.
"""

from __future__ import annotations

from microservo.domain.evaluation_tasks.attempts import takes_over
from microservo.domain.evaluation_tasks.steps import (
    Outcome,
    Pause,
    Publish,
    Resume,
    Start,
    Step,
    Stop,
    Work,
    next_steps,
)
from microservo.domain.evaluation_tasks.task import Task, Tasks, TaskState
from microservo.domain.evaluation_tasks.wish import Wish, after

__all__ = [
    "Outcome",
    "Pause",
    "Publish",
    "Resume",
    "Start",
    "Step",
    "Stop",
    "Task",
    "TaskState",
    "Tasks",
    "Wish",
    "Work",
    "after",
    "next_steps",
    "takes_over",
]
