"""Service discovery of one region: who is registered, which instance is closest, who asks from where.

- consumes: registrations (key service/instance; registration), from its beginning, then what comes: so every
  registry knows the instances of all regions, and there is no list of peers.
- produces: registrations, with a tombstone for an instance that is gone, and every 2 s its own; each second
  request-locations (key service name; request_locations), one message for all places of a service.
- HTTP: docs/registry.md; `docs/registry.openapi.json` is generated from the table in `operations`.
- state: the instances, the leases of its own ones, the requests of the last 15 minutes; in memory, bounded.
  After a restart the topic says which instances are its own; each has one lease to be heard of again.
- guarantee: what is registered or removed is known here at once, on the topic within a tenth of a second, or
  once the broker is back. Without the broker it answers from what it knows, and says how old that is.
  Locations are at least once: an event's id tells repetitions.
"""
