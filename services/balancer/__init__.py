"""Load balancer of one region: an nginx of its own, told by an API which servers each service has.

- produces: each second request-locations (key service name; request_locations): from where users asked.
- HTTP: docs/balancer.md; `docs/balancer.openapi.json` is generated from the table in `operations`.
- state: the servers, in state.json in its folder. How each of them is comes from health checks.
- guarantee: what the API has answered for is served: each change is checked by nginx, loaded without dropping
  a request, and confirmed by the new workers. A server that is dead is left out within three seconds.
  Locations are at least once on the topic, and what a kill of the process takes along is a second of them.
- needs nginx 1.20 or later; the broker only for locations, which wait for it.
"""
