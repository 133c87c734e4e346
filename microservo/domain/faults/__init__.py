"""The catalogue of faults: one small class per kind, in its own module, and the states it passes.

::

    FaultRequest ── parse_request ─► PlannedFault ── FaultStatus ─► FaultEvent, ServiceFault

docs/adding_a_fault.md shows how a kind is added.
"""
