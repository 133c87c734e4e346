"""Users: drives weighted journeys through the entry service of a topology, open loop and seeded.

Stands outside of the target, as users do, and knows nothing of Kafka:

- consumes: HTTP answers of the entry service; its rate, and faults of it, on the control port.
- produces: HTTP requests; CLIENT spans, logs and metrics as service `loadgen`; JSON lines on stdout.
- state: the journeys under way, the rate and the faults in force, in memory.
- guarantee: same seed, same requests in the same order at the same relative times, whatever the target does.
"""
