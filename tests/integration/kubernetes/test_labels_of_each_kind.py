"""The labels of windows that come of each sequence of states, for each kind of Chaos Mesh's objects.

The injector runs on a real API server and a real broker; what it publishes goes into the windower that also
runs live. All kinds are played side by side, each on a pod of its own::

    service      sequence                                   labels
    whole        injected, recovered                        in force from Apply to Recover
    paused       of others: injected, paused, injected      twice in force, and nothing between
    stuck        injected, not recovered, given up          recovering until it was given up
    unselected   nothing is selected                        never in force
    uninjected   what is selected can't be injected         never in force
    once         killed, and replaced                       in force from Apply until something is ready
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from chaos_kinds import KILLS, ONE_OF_EACH, object_of_others
from chaos_story import OBJECTS, Story, played_story
from kubernetes_cluster import Cluster

from microservo.adapters.kafka import KafkaBroker
from microservo.platforms.kubernetes.chaos.experiment import name_of
from microservo.platforms.kubernetes.chaos.others import kind_of
from schemas.records import Label, LabelledWindow

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def story(
    kubernetes_cluster: Cluster, kafka_broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    """All sequences of all kinds, played to their ends."""
    return played_story(kubernetes_cluster, kafka_broker, tmp_path_factory.mktemp("target"))


def phases(labels: Sequence[tuple[LabelledWindow, Label]]) -> list[str]:
    """The phases in their order, each once."""
    found: list[str] = []
    for _, label in labels:
        if not found or found[-1] != label.phase:
            found.append(label.phase)
    return found


def assert_root(labels: Sequence[tuple[LabelledWindow, Label]], kind: str, pod: str) -> None:
    """That all labels say that this service is the root cause, by a fault of this kind on this pod."""
    for window, label in labels:
        assert (label.kind, label.role, label.relation, label.hops) == (kind, "root_cause", "root", 0)
        assert label.root_service == window.service
        assert label.instances == ((pod,) if label.overlap else ())
        assert window.role == "root_cause"


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_injected_and_recovered_is_in_force_from_its_apply_to_its_recover(
    name: str, story: Story
) -> None:
    pod, fault_id = story.pod("whole", name), f"whole-{name}"
    labels = story.labels("whole", fault_id)
    made = name_of(fault_id, pod)
    ((applied_us,), (recovered_us,)) = (story.stamped_us(made, each) for each in ("Apply", "Recover"))
    assert story.in_force("whole", fault_id) == (applied_us, recovered_us)
    assert_root(labels, ONE_OF_EACH[name], pod)
    found = [each for each in phases(labels) if each not in ("applying", "recovering")]
    assert found == ["active", "after_effect"]
    for window, label in labels:
        if label.overlap == 1.0:
            assert (window.in_force, window.truth) == (1.0, "masked"), "in force, and nobody has looked"


@pytest.mark.parametrize("name", OBJECTS)
def test_what_others_pause_is_in_force_twice_and_not_between(name: str, story: Story) -> None:
    pod, made = story.pod("paused", name), f"paused-{name.lower()}"
    uid = {
        each.whole.parameters["object"].split("/")[1]: each.whole.fault_id[:-1]
        for each in story.statuses().values()
        if each.is_declared
    }
    ids = [f"{uid[made]}{number}" for number in (1, 2)]
    starts_us, ends_us = (story.stamped_us(made, each) for each in ("Apply", "Recover"))
    assert [story.in_force("paused", each) for each in ids] == list(zip(starts_us, ends_us, strict=True))
    assert len(starts_us) == 2
    body = object_of_others(story.api, pod, ONE_OF_EACH[name], made)
    for each in ids:
        labels = story.labels("paused", each)
        assert_root(labels, kind_of(body), pod)
        assert phases(labels) == ["active", "after_effect"]


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_stuck_is_recovering_until_it_was_given_up(name: str, story: Story) -> None:
    pod, fault_id = story.pod("stuck", name), f"stuck-{name}"
    labels, event = story.labels("stuck", fault_id), story.event(fault_id)
    (applied_us,) = story.stamped_us(name_of(fault_id, pod), "Apply")
    assert story.stamped_us(name_of(fault_id, pod), "Recover") == []
    assert story.in_force("stuck", fault_id) == (applied_us, event.recovered_at_us)
    assert event.recovered_within_us is None, "when it ended is not known"
    assert_root(labels, ONE_OF_EACH[name], pod)
    assert [each for each in phases(labels) if each != "applying"] == ["active", "recovering", "after_effect"]
    assert event.recovery_commanded_at_us is not None
    for window, label in labels:
        if window.start_us >= event.recovery_commanded_at_us and label.overlap == 1.0:
            assert label.phase == "recovering"


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("service", ["unselected", "uninjected"])
def test_what_could_not_be_injected_is_never_in_force(service: str, name: str, story: Story) -> None:
    fault_id = f"{service}-{name}"
    labels, event = story.labels(service, fault_id), story.event(fault_id)
    assert (event.state, event.applied_at_us) == ("failed", None)
    assert event.apply_commanded_at_us is not None
    assert labels, "that it was tried is told"
    assert set(phases(labels)) == {"applying"}
    assert {label.overlap for _, label in labels} == {0.0}
    assert {window.in_force for window, _ in labels} == {0.0}
    assert_root(labels, ONE_OF_EACH[name], story.pod(service, name))
    first, _ = labels[0]
    assert first.start_us <= event.apply_commanded_at_us < first.end_us


@pytest.mark.parametrize("kind", KILLS)
def test_what_happens_once_is_in_force_until_something_is_ready_instead(kind: str, story: Story) -> None:
    pod, fault_id = story.pods["once"][KILLS.index(kind)], f"once-{kind}"
    labels, event = story.labels("once", fault_id), story.event(fault_id)
    (applied_us,) = story.stamped_us(name_of(fault_id, pod), "Apply")
    assert story.in_force("once", fault_id) == (applied_us, event.recovered_at_us)
    assert str(event.recovery_evidence).endswith(" is ready")
    assert_root(labels, kind, pod)
    assert phases(labels)[-1] == "after_effect"


def test_services_beside_them_are_no_root_cause_and_no_fault_is_in_force_there(story: Story) -> None:
    for service in ("back", "front"):
        assert story.windows[service]
        for window in story.windows[service]:
            assert window.in_force == 0.0
            # What takes the node's processor or disk may reach its other pods.
            assert {(label.role, label.relation) for label in window.labels} <= {("exposed", "neighbour")}
