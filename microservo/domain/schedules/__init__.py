"""Schedules: faults that begin at a time, once or again and again, and what is next to be done about each.

::

    fault-schedules     what is wanted, by the client      add, pause, resume, edit, remove
    schedule-progress   what was done, by the injector     requested, or skipped

Each fault of a schedule has an id of its own, made of the schedule's and the instant at which it begins. So
whoever works out twice what is due asks for the same fault twice, and the injector carries it out once.
"""

from __future__ import annotations

from microservo.domain.schedules.due import MOST_RECENT, Due, due
from microservo.domain.schedules.recurrence import (
    Occurrence,
    Recurrence,
    cron,
    daily,
    occurrences,
    once,
    weekly,
)
from microservo.domain.schedules.schedule import (
    LEAD_US,
    MOST_GRACE_US,
    check_schedule,
    check_schedule_id,
    describe_when,
    fault_id_of,
    next_occurrences,
    request_of,
)

__all__ = [
    "LEAD_US",
    "MOST_GRACE_US",
    "MOST_RECENT",
    "Due",
    "Occurrence",
    "Recurrence",
    "check_schedule",
    "check_schedule_id",
    "cron",
    "daily",
    "describe_when",
    "due",
    "fault_id_of",
    "next_occurrences",
    "occurrences",
    "once",
    "request_of",
    "weekly",
]
