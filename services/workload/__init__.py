"""One instance of one service of a topology: serves its endpoints with real work and real calls.

Stands for any microservice, so it knows nothing of Kafka:

- consumes: HTTP requests on its port, answers of the services it calls, faults on its control port.
- produces: HTTP answers; spans, logs and metrics by OTLP; JSON lines on stdout.
- state: caches, ballast and active faults, all in memory and gone with the process; a small database in a
  folder of its own, emptied at the start.
- guarantee: none; a request that fails is answered 500 and a dependency's failure is a failure of the caller.
  What is more than it can do is answered 503, what its caller waits for no more 504, both without work.
"""
