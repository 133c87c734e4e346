"""Faults carried by Chaos Mesh: what is asked of it, what it says came of that, and what others ask of it.

::

    fault + pod ─► Experiment ─► manifest ─► API ─► status, events ─► instants
                   (pure)        (pure)             (pure)            (pure)
"""
