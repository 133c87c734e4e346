"""What a question costs a registry that knows 1,000 services of 100 instances each, in CPU time.

`python -m benchmarks.registry`, a few seconds of CPU. Asked are all services in turn; the first time, and
after a change, the columns of each service are made anew. By HTTP it is the time of the server alone.
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.command import run
from benchmarks.cpu import cpu_s
from benchmarks.figures import Figure, figure
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import EndpointQuestion
from microservo.domain.registry.instances import registration_id
from microservo.runtime.api import api_app
from microservo.runtime.http import HttpServer
from schemas.records import Registration
from services.registry.operations import API
from services.registry.registry import Registry

COMMAND = "python -m benchmarks.registry"
SERVICES = 1_000
INSTANCES = 100
PLACE = Coordinates(52.5, 13.4)
QUESTIONS = {
    "closest": EndpointQuestion(),
    "among the 5 closest": EndpointQuestion(among=5),
    "within 100 km and so on": EndpointQuestion(distance=100),
    "by load": EndpointQuestion(by="load"),
}

_ASKED_MS = 1.0


def figures() -> Iterator[Figure]:
    """A question of each sort against what is asked for, and what reading the log costs beside it."""
    registry = Registry(
        _registration("registry", "europe", random.Random(0)),
        clock=lambda: time.time_ns() // 1_000,
        monotonic_s=time.monotonic,
        seed=0,
        lease_s=4.0,
    )
    known = list(_known())
    log_s = cpu_s(partial(_observe, registry, known))
    yield _question("closest, the first time", cpu_s(partial(_ask, registry, EndpointQuestion())))
    for name, question in QUESTIONS.items():
        yield _question(name, cpu_s(partial(_ask, registry, question)))
    yield _question("closest, after a change", cpu_s(partial(_change_and_ask, registry, known)))
    with HttpServer(api_app(API, registry, token="", checks_host=True), port=0) as server:
        asked_s = time.thread_time()
        both_s = cpu_s(partial(_ask_by_http, server.port))
        asked_s = time.thread_time() - asked_s
    yield _question("closest, by HTTP", both_s - asked_s)
    yield figure(
        f"{SERVICES * INSTANCES:,} instances from the log",
        log_s,
        "s of CPU",
        peer=f"{SERVICES:,} questions by HTTP",
        peer_value=both_s - asked_s,
        command=COMMAND,
    )


def _question(name: str, all_s: float) -> Figure:
    """What one of a question to each service costs."""
    of_one = 1000 * all_s / SERVICES
    return figure(name, of_one, "ms of CPU", peer="asked for", peer_value=_ASKED_MS, command=COMMAND)


def _known() -> Iterator[Registration]:
    chance = random.Random(1)
    for service in range(SERVICES):
        for instance in range(INSTANCES):
            yield _registration(f"s{service}", f"i{instance}", chance)


def _registration(service: str, instance: str, chance: random.Random) -> Registration:
    return Registration(
        registration_id=registration_id(service, instance),
        service=service,
        instance=instance,
        endpoint="127.0.0.1:9000",
        latitude=chance.uniform(-90, 90),
        longitude=chance.uniform(-180, 180),
        region="Europe",
        registry="asia",
        healthy=True,
        draining=False,
        load=chance.random(),
        registered_at_us=0,
        updated_at_us=0,
    )


def _observe(registry: Registry, known: list[Registration]) -> None:
    registry.observe((each.registration_id, each) for each in known)


def _ask(registry: Registry, question: EndpointQuestion) -> None:
    for service in range(SERVICES):
        registry.endpoint(f"s{service}", question, PLACE)


def _change_and_ask(registry: Registry, known: list[Registration]) -> None:
    for service in range(SERVICES):
        _observe(registry, [known[service * INSTANCES]])
        registry.endpoint(f"s{service}", QUESTIONS["closest"], PLACE)


def _ask_by_http(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for service in range(SERVICES):
        connection.request("GET", f"/services/s{service}/endpoint?latitude=52.5&longitude=13.4")
        connection.getresponse().read()
    connection.close()


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, lambda *_: figures(), name="registry", title="What a question costs a registry")


if __name__ == "__main__":
    sys.exit(main())
