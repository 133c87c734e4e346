"""How soon a fault in a cluster is labelled, from the instant that Chaos Mesh's event has.

The system has to run: microservo up --target kubernetes. Where the cluster's clock is not this machine's, the
difference that `microservo doctor` shows is in the figures.

python -m benchmarks.kubernetes_labels --service redis-cart [--faults 100] [--system NAME]
"""

from __future__ import annotations

import argparse
import statistics

from microservo.adapters.clock import now_us
from microservo.client import Client
from schemas.records import ServiceFault

_PATIENCE_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", required=True)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--system")
    arguments = parser.parse_args()
    client = Client(system=arguments.system)
    late_ms = sorted(one_fault(client, arguments.service) for _ in range(arguments.faults))
    p99 = late_ms[min(len(late_ms) - 1, round(0.99 * len(late_ms)))]
    print(
        f"{len(late_ms)} faults: median {statistics.median(late_ms):.0f} ms, p99 {p99:.0f} ms, "
        f"longest {late_ms[-1]:.0f} ms"
    )


def one_fault(client: Client, service: str) -> float:
    """Milliseconds until the label of a fault on one pod could be read."""
    with client.topics.subscribe("service-faults") as records:
        fault_id = client.faults.request(
            "network-delay", service=service, mode="one", latency="10ms", duration="500ms"
        )
        while True:
            received = records.poll(0.01)
            read_us = now_us()
            record = None if received is None else received.record
            if (
                isinstance(record, ServiceFault)
                and (record.fault_id, record.service) == (fault_id, service)
                and record.applied_at_us is not None
            ):
                break
    client.faults.wait(fault_id, "recovered", _PATIENCE_S)
    return (read_us - record.applied_at_us) / 1000


if __name__ == "__main__":
    main()
