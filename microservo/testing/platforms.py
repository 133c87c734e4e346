"""What every platform keeps to, as sentences that an extension's tests run on a target of their own.

Example::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_platform(check: Check, running_target: Path) -> None:
        check(lambda: MyPlatform(running_target))
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from microservo.adapters.clock import now_us
from microservo.domain.faults.base import Fault, Wire
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import places
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.mechanism import Confirmation, Mechanism
from microservo.platforms.platform import RUNS, Instance, InstanceChange, Platform, kinds_here, services_of
from microservo.retry import retry
from microservo.testing import eventually
from microservo.testing.checks import checks_in, refused, run_checks

MakePlatform = Callable[[], Platform]
"""Makes an object for a target that runs; each is what another process would see of the same target."""

_TIMEOUT_S = 60.0
_ABSENT = "no-such-instance-0"
_PAUSE = "process-pause"
_KILL = "process-kill"
_UNREACHABLE = frozenset({_PAUSE, "fd-exhaustion"})
"""While these are in force, nothing else reaches the instance."""


def instances_have_ids_of_their_own_and_run(make: MakePlatform) -> None:
    instances = make().instances()
    assert instances, "a check needs a target with at least one instance"
    assert len({each.id for each in instances}) == len(instances)
    for each in instances:
        assert each.id, each
        assert each.service, each
        assert each.is_up, each
        assert 0 < each.started_at_us <= now_us(), each


def edges_lead_from_service_to_service(make: MakePlatform) -> None:
    platform = make()
    services = services_of(platform)
    for caller, callee in platform.edges():
        assert callee in services, f"{caller} calls {callee}, which is no service of {sorted(services)}"


def kinds_are_carried_by_the_mechanisms_that_they_name(make: MakePlatform) -> None:
    platform = make()
    assert "noop" in kinds_here(platform), "the control needs nothing of a target"
    for kind, fault in KINDS.items():
        names = [mechanism.name for mechanism in platform.mechanisms(kind)]
        in_order = [name for name in fault.mechanisms if name in names]
        assert names == in_order, f"{kind} is carried by {names}, expected some of {fault.mechanisms}"


def an_unknown_kind_is_refused(make: MakePlatform) -> None:
    with refused(InvalidInput):
        make().mechanisms("no-such-kind")


def a_watcher_is_told_first_what_runs(make: MakePlatform) -> None:
    platform = make()
    expected = {each.id for each in platform.instances() if each.is_up}
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    with platform.watch(changes.put):
        first = [changes.get(timeout=_TIMEOUT_S) for _ in expected]
    assert {change.instance.id for change in first} == expected
    for change in first:
        assert (change.state, change.at_us) == ("up", change.instance.started_at_us), change


def the_meter_reads_every_instance_that_runs(make: MakePlatform) -> None:
    platform = make()
    readings = platform.meter().read()
    running = {name: metrics for name, metrics in readings.items() if RUNS in metrics}
    assert set(running) == {each.id for each in platform.instances() if each.is_up}
    for name, metrics in running.items():
        assert metrics[RUNS] > 0, name


def a_fault_is_in_force_until_it_is_recovered_and_its_instants_are_those_of_the_first_time(
    make: MakePlatform,
) -> None:
    for kind, fault in _lasting_kinds(make()):
        _check_life(make, kind, fault.wire())


def a_fault_can_be_recovered_by_another_process(make: MakePlatform) -> None:
    for kind, fault in _lasting_kinds(make()):
        mechanism, another = _carrier(make(), kind), _carrier(make(), kind)
        instance = _any(make(), kind).id
        mechanism.apply(instance, f"other-{kind}", fault.wire())
        try:
            assert another.holds(instance, f"other-{kind}", fault.wire()), kind
        finally:
            _recover(another, instance, f"other-{kind}", fault.wire())
        assert not another.holds(instance, f"other-{kind}", fault.wire()), kind


def what_nobody_owns_is_released_and_the_rest_stays(make: MakePlatform) -> None:
    for kind, fault in _lasting_kinds(make()):
        mechanism, another = _carrier(make(), kind), _carrier(make(), kind)
        instance, fault_id = _any(make(), kind).id, f"unowned-{kind}"
        mechanism.apply(instance, fault_id, fault.wire())
        assert another.release_unowned(instance, {fault_id: kind}.copy) == [], kind
        assert another.holds(instance, fault_id, fault.wire()), kind
        assert len(another.release_unowned(instance, dict)) == 1, kind
        assert not another.holds(instance, fault_id, fault.wire()), kind


def recovering_what_was_never_applied_is_no_error(make: MakePlatform) -> None:
    platform = make()
    for kind in sorted(kind for kind in kinds_here(platform) if not KINDS[kind].one_shot):
        before_us = now_us()
        confirmed = _carrier(platform, kind).recover(_any(platform).id, "never", _example(kind).wire())
        assert before_us <= confirmed.at_us <= now_us(), kind


def an_instance_that_is_not_there_is_waited_for_and_holds_nothing(make: MakePlatform) -> None:
    platform = make()
    for kind, fault in _lasting_kinds(platform):
        mechanism = _carrier(platform, kind)
        with refused(Retryable):
            mechanism.apply(_ABSENT, "f", fault.wire())
        assert not mechanism.holds(_ABSENT, "f", fault.wire()), kind
        assert mechanism.release_unowned(_ABSENT, dict) == [], kind
        mechanism.recover(_ABSENT, "f", fault.wire())


def parameters_that_can_not_be_are_refused_and_nothing_is_touched(make: MakePlatform) -> None:
    platform = make()
    for kind, fault in _lasting_kinds(platform):
        if not fault.parameters:
            continue
        mechanism, instance = _carrier(platform, kind), _any(platform).id
        with refused(InvalidInput):
            mechanism.apply(instance, "bad", (kind, {**fault.wire()[1], "no_such": 1}))
        assert not mechanism.holds(instance, "bad", fault.wire()), kind


def a_killed_instance_goes_down_and_comes_back(make: MakePlatform) -> None:
    platform = make()
    if _KILL not in kinds_here(platform):
        return
    mechanism, before, wire = _carrier(platform, _KILL), _any(platform), _example(_KILL).wire()
    changes: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    with platform.watch(changes.put):
        killed = mechanism.apply(before.id, "kill", wire)
        assert mechanism.apply(before.id, "kill", wire) == killed, "who asks again kills no second process"
        down, up = _down_and_up(changes, before)
        recovered = _recover(mechanism, before.id, "kill", wire)
    assert before.started_at_us < down.at_us <= up.at_us
    assert killed.at_us <= up.at_us <= recovered.at_us
    assert mechanism.recover(before.id, "kill", wire) == recovered
    after = next(each for each in platform.instances() if each.id == before.id)
    assert after.is_up
    assert after.started_at_us == up.at_us


def a_recovery_behind_a_pause_is_reported_when_it_took_effect(make: MakePlatform) -> None:
    platform = make()
    behind = next((kind for kind, fault in KINDS.items() if "workload" in fault.mechanisms), "")
    if not {_PAUSE, behind} <= kinds_here(platform):
        return
    instance, wire, pause = _any(platform).id, _example(behind).wire(), _example(_PAUSE).wire()
    mechanism, pauser = _carrier(platform, behind), _carrier(platform, _PAUSE)
    mechanism.apply(instance, "behind", wire)
    pauser.apply(instance, "pause", pause)
    try:
        with refused(Retryable):
            mechanism.recover(instance, "behind", wire)
    finally:
        # The end of the pause may be seen later than what it set going.
        resumed_us = now_us()
        pauser.recover(instance, "pause", pause)
    eventually(
        lambda: not mechanism.holds(instance, "behind", wire),
        timeout_s=_TIMEOUT_S,
        interval_s=0.01,
        what="the recovery that was waiting to be carried out",
    )
    seen_us = now_us()
    eventually(lambda: now_us() > seen_us + 200_000, what="some time to pass")
    confirmed = _recover(mechanism, instance, "behind", wire)
    assert resumed_us <= confirmed.at_us <= seen_us, "the instant is not that of the first attempt"


def several_faults_on_one_instance_do_not_end_one_another(make: MakePlatform) -> None:
    platform = make()
    target = _any(platform)
    instance = target.id
    kinds = [
        (kind, fault)
        for kind, fault in _lasting_kinds(platform)
        if kind not in _UNREACHABLE and _can_be_at(platform, kind, target)
    ]
    with ThreadPoolExecutor(max_workers=8) as threads:
        list(threads.map(lambda each: _apply(_carrier(platform, each[0]), instance, *each), kinds))
    for kind, fault in kinds:
        assert _holds(_carrier(platform, kind), instance, kind, fault.wire()), kind
        _recover(_carrier(platform, kind), instance, kind, fault.wire())
        assert not _holds(_carrier(platform, kind), instance, kind, fault.wire()), kind


CHECKS = checks_in(sys.modules[__name__])
"""Each is given a way to make the platform; what a platform can't carry is left out."""


def check_platform(make: MakePlatform) -> None:
    """Runs all checks on a platform.

    Args:
        make: gives an object each time, for one target of at least one instance into which nothing else
            injects faults meanwhile.

    Raises:
        ExceptionGroup: what does not hold.
    """
    run_checks(CHECKS, lambda: (make,))


def _check_life(make: MakePlatform, kind: str, wire: Wire) -> None:
    platform = make()
    mechanism, instance = _carrier(platform, kind), _any(platform, kind).id
    assert not mechanism.holds(instance, kind, wire), f"{kind} is in force before it was applied"
    before_us = now_us()
    applied = mechanism.apply(instance, kind, wire)
    assert before_us <= applied.at_us <= now_us(), kind
    assert applied.within_us is None or before_us <= applied.at_us - applied.within_us <= applied.at_us, kind
    assert applied.evidence, kind
    assert mechanism.holds(instance, kind, wire), kind
    assert mechanism.apply(instance, kind, wire).at_us == applied.at_us, kind
    assert (mechanism.acted(instance, kind, wire) is None) == (applied.acted is None), kind
    ending_us = now_us()
    recovered = _recover(mechanism, instance, kind, wire)
    assert applied.at_us <= recovered.at_us <= now_us(), kind
    assert recovered.within_us is None or ending_us <= recovered.at_us - recovered.within_us, kind
    assert recovered.evidence, kind
    assert not mechanism.holds(instance, kind, wire), kind
    assert mechanism.acted(instance, kind, wire) is None, kind
    assert mechanism.recover(instance, kind, wire) == recovered, kind


def _down_and_up(
    changes: queue.SimpleQueue[InstanceChange], before: Instance
) -> tuple[InstanceChange, InstanceChange]:
    seen: list[InstanceChange] = []
    while len(seen) < 2:
        change = changes.get(timeout=_TIMEOUT_S)
        is_the_beginning = change.state == "up" and change.at_us == before.started_at_us
        if change.instance.id == before.id and not is_the_beginning:
            seen.append(change)
    down, up = seen
    assert (down.state, up.state) == ("down", "up")
    return down, up


def _lasting_kinds(platform: Platform) -> list[tuple[str, Fault]]:
    """An example of each kind that can be in force for a while, and be seen to be."""
    kinds = sorted(kinds_here(platform))
    return [(kind, _example(kind)) for kind in kinds if kind != "noop" and not KINDS[kind].one_shot]


def _example(kind: str) -> Fault:
    return KINDS[kind].from_text(KINDS[kind].strong)


def _carrier(platform: Platform, kind: str) -> Mechanism:
    return platform.mechanisms(kind)[0]


def _any(platform: Platform, kind: str = "noop") -> Instance:
    """The first instance that a kind can be at."""
    return next(each for each in platform.instances() if _can_be_at(platform, kind, each))


def _can_be_at(platform: Platform, kind: str, instance: Instance) -> bool:
    """Whether a kind finds what it needs there; a platform that knows no calls refuses none."""
    edges = list(platform.edges())
    return not KINDS[kind].needs or not edges or instance.service in places(KINDS[kind], edges)


def _apply(mechanism: Mechanism, instance: str, kind: str, fault: Fault) -> Confirmation:
    """An instance that many faults weigh on may answer late."""
    return retry(lambda: mechanism.apply(instance, kind, fault.wire()), timeout_s=_TIMEOUT_S)


def _holds(mechanism: Mechanism, instance: str, fault_id: str, wire: Wire) -> bool:
    return retry(lambda: mechanism.holds(instance, fault_id, wire), timeout_s=_TIMEOUT_S)


def _recover(mechanism: Mechanism, instance: str, fault_id: str, wire: Wire) -> Confirmation:
    return retry(lambda: mechanism.recover(instance, fault_id, wire), timeout_s=_TIMEOUT_S)
