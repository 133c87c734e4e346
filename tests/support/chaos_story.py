"""What is played with Chaos Mesh's objects of each kind on a real API server, and the labels that come of it.

The injector runs on a real broker; what it publishes goes into the windower that also runs live. All kinds
are played side by side, each on a pod of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from chaos_controller import Behaviour, ChaosController
from chaos_kinds import KILLS, ONE_OF_EACH, object_of_others
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace
from recorded_run import end_offsets

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.lifecycle import LAST_STATES, FaultStatus, fold
from microservo.domain.join import process_message
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidInput, Retryable
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.log.writers import COLLECTOR_WRITER, INJECTOR_WRITER, TELEMETRY, writers_from
from microservo.platforms.kubernetes.api import KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import collection
from microservo.platforms.kubernetes.chaos.mechanism import Patience
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.retry import retry
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from schemas.catalogue import FAULT_EVENTS, FAULT_REQUESTS, SERVICE_FAULTS
from schemas.codec import decode_as, encode
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import Experiment, FaultEvent, FaultRequest, Label, LabelledWindow, MetricBatch
from services.fault_injector.service import run
from services.fault_injector.settings import FaultInjectorSettings

S = 1_000_000
PATIENCE_S = 120.0
SHORT = Patience(injected=10.0, recovered=4.0)
POLICY = WindowPolicy(size_us=S, first_cut_us=2 * S, final_cut_us=300 * S, future_us=3600 * S)
OURS = ("whole", "stuck", "unselected", "uninjected")
BEHAVIOURS = {
    "stuck": Behaviour(recovers=False),
    "unselected": Behaviour(selects=False),
    "uninjected": Behaviour(injects=False),
}
OBJECTS = sorted(ONE_OF_EACH)


@dataclass
class Story:
    """What is played, and what comes of it."""

    api: KubernetesApi
    workloads: Workloads
    controller: ChaosController
    platform: KubernetesPlatform
    broker: KafkaBroker
    prefix: str
    began_us: int
    pods: Mapping[str, Sequence[str]]

    def pod(self, service: str, name: str) -> str:
        """The pod of a service that a kind of object acts on."""
        return self.pods[service][OBJECTS.index(name)]

    def request(self, fault_id: str, kind: str, service: str, pod: str, seconds: float) -> None:
        asked = FaultRequest(
            fault_id=fault_id,
            action="inject",
            requested_at_us=now_us(),
            kind=kind,
            service=service,
            instances=(pod,),
            parameters=dict(KINDS[kind].strong),
            duration_us=round(seconds * S),
        )
        with self.broker.producer(linger_ms=0) as producer:
            producer.send(self.prefix + FAULT_REQUESTS, key=fault_id.encode(), value=encode(asked))
            producer.flush(30)

    def statuses(self) -> Mapping[str, FaultStatus]:
        messages = read_topic(self.broker, self.prefix + FAULT_EVENTS)
        return fold(decode_as(FaultEvent, each.value or b"") for each in messages)

    def event(self, fault_id: str) -> FaultEvent:
        """The newest event of the only instance of a fault."""
        (event,) = self.statuses()[fault_id].instances.values()
        return event

    def until_all(self, check: Callable[[FaultEvent], bool], fault_ids: Sequence[str], what: str) -> None:
        left: dict[str, str] = {}

        def hold() -> bool:
            statuses = self.statuses()
            left.clear()
            for fault_id in fault_ids:
                parts = statuses[fault_id].parts.values() if fault_id in statuses else ()
                if not parts or not all(map(check, parts)):
                    left[fault_id] = ", ".join(f"{each.state}: {each.reason}" for each in parts)
            return not left

        try:
            eventually(hold, timeout_s=PATIENCE_S, what=what)
        except AssertionError as error:
            error.add_note(f"not so: {left}")
            raise

    def declared(self, number: int) -> list[str]:
        """Ids of what others have in force for that many times."""
        statuses = self.statuses().values()
        return [
            each.whole.fault_id
            for each in statuses
            if each.is_declared and each.whole.fault_id.endswith(f"-paused-{number}")
        ]

    def stamped_us(self, name: str, operation: str) -> Sequence[int]:
        return self.controller.stamped_by_object_us.get((name, operation), [])

    @cached_property
    def windows(self) -> Mapping[str, list[LabelledWindow]]:
        """The windows of each service in their last revision, in order."""
        windower = Windower(POLICY)
        cuts_us = {"first_cut_us": POLICY.first_cut_us, "final_cut_us": POLICY.final_cut_us}
        windower.open_run("run-1", writers_from(0, **cuts_us))
        for service in self.pods:
            windower.telemetry(
                points(service, self.began_us, now_us()), stamp(self.began_us, COLLECTOR_WRITER)
            )
        for message in read_topic(self.broker, self.prefix + SERVICE_FAULTS):
            process_message(windower, SERVICE_FAULTS, message.value, message.headers)
        windower.heartbeat(SERVICE_FAULTS, stamp(FOREVER_US, INJECTOR_WRITER))
        for topic in TELEMETRY:
            windower.heartbeat(topic, stamp(FOREVER_US, COLLECTOR_WRITER))
        last = {(each.service, each.start_us): each.labelled_window() for each in windower.close()}
        return {
            service: [window for (of, _), window in sorted(last.items()) if of == service]
            for service in self.pods
        }

    def labels(self, service: str, fault_id: str) -> list[tuple[LabelledWindow, Label]]:
        """The windows that have a fault, with its label."""
        return [
            (window, label)
            for window in self.windows[service]
            for label in window.labels
            if label.fault_id == fault_id
        ]

    def in_force(self, service: str, fault_id: str) -> tuple[int, int]:
        """From when until when the windows of a service have a fault in force, in microseconds UTC."""
        shares = [
            (window.start_us, round(label.overlap * S))
            for window, label in self.labels(service, fault_id)
            if label.overlap
        ]
        (first_us, first), (last_us, last) = shares[0], shares[-1]
        assert len(shares) > 1, "one window alone would not tell where in it the fault was"
        assert {share for _, share in shares[1:-1]} <= {S}, "it was in force all the time between"
        assert [start_us for start_us, _ in shares] == list(range(first_us, last_us + S, S))
        return first_us + S - first, last_us + last


def points(service: str, from_us: int, to_us: int) -> MetricBatch:
    """A measurement of a service in each of its windows."""
    times_us = np.arange(from_us, to_us, S // 2)
    return MetricBatch(
        run_id="run-1",
        service=service,
        instances=(f"{service}-0",),
        names=("cpu",),
        time_us=times_us.astype("<i8").tobytes(),
        instance=bytes(2 * len(times_us)),
        name=bytes(2 * len(times_us)),
        value=np.ones(len(times_us)).tobytes(),
    )


def stamp(watermark_us: int, writer: str) -> Stamp:
    return Stamp(run="run-1", watermark_us=watermark_us, writer=writer, sequence=0, total=0)


def played_story(cluster: Cluster, broker: KafkaBroker, folder: Path) -> Story:
    """All sequences of all kinds, played to their ends."""
    api = cluster.api()
    workloads = Workloads(api, new_namespace(api))
    pods = {each: workloads.deploy(each, replicas=len(OBJECTS)) for each in (*OURS, "paused")}
    pods["once"] = workloads.deploy("once", replicas=len(KILLS))
    pods |= {"back": workloads.deploy("back"), "front": workloads.deploy("front")}
    controller = ChaosController(workloads, behaviours=dict(BEHAVIOURS))
    platform = KubernetesPlatform(api, [workloads.namespace], patience=SHORT)
    prefix = f"{workloads.namespace}-"
    broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=1))
    began_us = eventually(lambda: begin_run(broker, prefix), timeout_s=PATIENCE_S, what="a run")
    story = Story(api, workloads, controller, platform, broker, prefix, began_us, pods)
    with controller.running(), injector(story, folder):
        play(story)
    return story


def begin_run(broker: KafkaBroker, prefix: str) -> int:
    """Records a run that the injector writes in; when it begins."""
    began_us = now_us()
    first_cut_us, final_cut_us = POLICY.first_cut_us, POLICY.final_cut_us
    record = Experiment(
        run_id="run-1",
        status="running",
        seed=0,
        target="cluster",
        started_at_us=began_us,
        window_us=POLICY.size_us,
        start_offsets=end_offsets(broker, prefix),
        end_offsets={},
        versions={},
        first_cut_us=first_cut_us,
        final_cut_us=final_cut_us,
        writers=writers_from(began_us, first_cut_us=first_cut_us, final_cut_us=final_cut_us),
    )
    write_run(broker, record, process="system", clock=now_us, topic_prefix=prefix)
    return began_us


@contextmanager
def injector(story: Story, folder: Path) -> Iterator[None]:
    """The real injector in a thread, on the platform of a story."""
    settings = FaultInjectorSettings(
        kafka=story.broker.settings,
        topic_prefix=story.prefix,
        run_id="run-1",
        target_state=folder / "target.json",
    )
    shutdown = Shutdown(signals=())
    of_story = {"broker": story.broker, "platform": story.platform}
    thread = threading.Thread(target=run, args=(settings, shutdown), kwargs=of_story)
    thread.start()
    try:
        yield
    finally:
        shutdown.request()
        thread.join()


def play(story: Story) -> None:
    """Has every sequence of every kind begin, go on and end, all kinds side by side."""
    for name, kind in ONE_OF_EACH.items():
        for service, seconds in (("whole", 3.0), ("stuck", 1.5), ("unselected", 1.0), ("uninjected", 1.0)):
            story.request(f"{service}-{name}", kind, service, story.pod(service, name), seconds)
    for kind, pod in zip(KILLS, story.pods["once"], strict=True):
        story.request(f"once-{kind}", kind, "once", pod, 1.0)
    paused = play_pauses(story)
    failed = [f"{service}-{name}" for service in ("unselected", "uninjected") for name in OBJECTS]
    story.until_all(lambda event: event.state in ("recovering", "failed"), failed, "what can't be applied")
    # Chaos Mesh recovers what it is applying only when it has applied it.
    story.controller.behaviours = {name: each for name, each in BEHAVIOURS.items() if name != "uninjected"}
    for name, kind in ONE_OF_EACH.items():
        give_up(story, f"stuck-{name}", kind, story.pod("stuck", name))
    ours = [f"{service}-{name}" for service in OURS for name in OBJECTS]
    ours += [f"once-{kind}" for kind in KILLS]
    story.until_all(lambda event: event.state in LAST_STATES, ours + paused, "all faults to be over")


def play_pauses(story: Story) -> list[str]:
    """Has faults of others begin, be paused, go on, and end; their ids."""
    paths = []
    for name, kind in ONE_OF_EACH.items():
        body = object_of_others(story.api, story.pod("paused", name), kind, f"paused-{name.lower()}")
        path = collection(story.workloads.namespace, name)
        story.api.create(path, body)
        paths.append(f"{path}/{body['metadata']['name']}")

    def all_in_force(number: int, *, is_over: bool = False) -> list[str]:
        what = f"all of others to be {'over' if is_over else 'in force'} for the {number}. time"
        ids = eventually(
            lambda: len(found := story.declared(number)) == len(OBJECTS) and found,
            timeout_s=PATIENCE_S,
            what=what,
        )
        assert ids
        story.until_all(lambda event: (event.state in LAST_STATES) == is_over, ids, what)
        return ids

    def pause(value: str) -> None:
        for path in paths:
            story.api.merge(path, {"metadata": {"annotations": {PAUSE_ANNOTATION: value}}})

    def wait(seconds: float) -> None:
        until_us = now_us() + round(seconds * S)
        eventually(lambda: now_us() > until_us, timeout_s=PATIENCE_S, what="a window to pass")

    first = all_in_force(1)
    wait(1.5)
    pause("true")
    all_in_force(1, is_over=True)
    wait(2.5)
    pause("false")
    second = all_in_force(2)
    wait(1.5)
    for path in paths:
        story.api.delete(path)
    all_in_force(2, is_over=True)
    return [*first, *second]


def give_up(story: Story, fault_id: str, kind: str, pod: str) -> None:
    """Waits until the recovery of a fault is stuck, and gives it up."""

    def stuck() -> None:
        state = story.event(fault_id).state
        if state in LAST_STATES:
            # An attempt of which no answer came has given it up.
            return
        if state != "recovering":
            msg = f"{fault_id} is {state}, and not being recovered yet"
            raise Retryable(msg)
        try:
            story.platform.force(pod, fault_id, kind)
        except InvalidInput as error:
            raise Retryable(str(error)) from error

    retry(stuck, timeout_s=PATIENCE_S)
