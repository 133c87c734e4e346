"""The use cases: every act of the command line and the client, and later of the hub, which import no adapter.

An act is a frozen command (`microservo.application.command`) and a handler, listed in one table
(`microservo.application.table`), by which it is carried out::

    execute(RequestFault(kind="cpu-hog", service="cartservice", duration="20s"), context)

What comes of it is a frozen value, or a stream of such for `Subscribe` and `FollowFault`; what can't be done
raises an error of `microservo.errors`. Starting and stopping a whole system is `microservo.system`'s.
"""
