"""The manager: what there is of apps, hosts and containers, how master and workers share it, what is decided.

::

    system-state ─► accept ─► Replica ─┐
    measurements, platform, commands ──┴─► Event ─► decide(state, event) ─► Action ─► (done) ─► Event

No clock, no thread, no broker: every event says when it was learnt.
"""
