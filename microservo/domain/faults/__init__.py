"""The catalogue of faults: one small class per kind, in its own module, and the story that each fault lives.

::

    FaultRequest ── parse_request ─► PlannedFault ── FaultStory ─► FaultEvent, ServiceFault

docs/adding_a_fault.md shows how a kind is added.
"""
