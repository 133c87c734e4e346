"""Campaigns: which faults are to come when, made from a file and a seed, and what is next while one runs.

::

    file.toml ──► definition ──► plan ──► course: warm-up, faults, quiet time, done
                    + seed        same seed, same bytes

All is pure. What runs a campaign keeps a journal, and from the plan and the journal alone follows what is to
be done next, so that whoever takes over after a crash does just that.
"""

from __future__ import annotations
