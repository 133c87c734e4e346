"""The sidecar: a proxy on the path of one instance, where network and HTTP faults are made.

::

    callers ──► listen port ──[ requests: http-delay, -abort, connection-reset, -abort ]────► instance
            ◄─[ bytes: network-* ]◄─[ answers: http-replace, -patch, -truncate, slow-close ]◄─

The port itself is what connection-limit and port-refuse act on. Callers are told apart by the name that each
gives as user agent.

Consumes and produces no topic: it is controlled over HTTP (`PUT|GET|DELETE /faults`) on its admin
port, by who knows the token (`microservo.platforms.local.control`). State: the faults in force, in memory
only; a restarted sidecar has none, and its caller sees that in `GET /faults`. Guarantee: bytes of
a connection are never lost, changed or reordered unless a fault that is in force says so; what a fault holds
back is sent on at once when the fault ends.

Network faults act on what *leaves* the instance, as `tc netem` on its interface would. The TCP handshake is
the kernel's and is not delayed. One thread, one event loop, no task while bytes flow.
"""
