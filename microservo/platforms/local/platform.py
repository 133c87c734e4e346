"""The platform of a target whose instances are processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.graph import Edge
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.mechanisms import COLLECTOR, HOSTS, local_mechanisms
from microservo.platforms.local.mechanisms.control_api import ControlClient
from microservo.platforms.local.meter import LocalMeter
from microservo.platforms.local.state import TargetState, read_state
from microservo.platforms.local.watch import seen, watch_state
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.platform import Instance, InstanceChange
from schemas.records import FaultRequest

if TYPE_CHECKING:
    # Geography needs NumPy, which most who ask a platform do without.
    from microservo.domain.geography import Coordinates


class LocalPlatform:
    """`Platform` of the target that a state file describes; the file is read anew each time.

    Args:
        state_file: what the target's launcher writes (`microservo.platforms.local.state`).
        clock: epoch microseconds UTC.

    Every method that looks at the target raises `InvalidInput` when the file is no state file.
    """

    name = "local"

    def __init__(self, state_file: Path, *, clock: Callable[[], int] = now_us) -> None:
        self._state_file = state_file
        self._clock = clock
        self._mechanisms: Mapping[str, Mechanism] = {
            mechanism.name: mechanism for mechanism in local_mechanisms(self._state, clock)
        }

    def instances(self) -> Sequence[Instance]:
        return [seen(each) for each in self._state().instances]

    def edges(self) -> Iterable[Edge]:
        return self._state().edges

    def mechanisms(self, kind: str) -> Sequence[Mechanism]:
        wanted = kind_named(kind).mechanisms
        return [self._mechanisms[name] for name in wanted if name in self._mechanisms and self._has(name)]

    def watch(self, on_change: Callable[[InstanceChange], None]) -> AbstractContextManager[None]:
        return watch_state(self._state_file, on_change, clock=self._clock)

    def watch_faults(
        self, on_request: Callable[[FaultRequest], None], *, left: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractContextManager[None]:
        # Nobody but us acts on the processes.
        return nullcontext()

    def force(self, instance: str, fault_id: str, kind: str) -> None:
        msg = f"nothing holds {fault_id} on {instance} but the instance itself; start it anew to be rid of it"
        raise InvalidInput(msg)

    def meter(self) -> LocalMeter:
        return LocalMeter(self._state)

    def set_load(self, journeys_per_s: float) -> None:
        """Has the users of the target make so many journeys per second from now on.

        Raises:
            Retryable: the load generator does not answer.
            InvalidInput: it refuses.
        """
        state = self._state()
        client = ControlClient(state.loadgen.control_url, state.control_token)
        client.call("PUT", "/rate", body={"journeys_per_s": journeys_per_s})

    def move_users(self, shares: Mapping[Coordinates, float]) -> None:
        """Has the users of the target come from these places from now on.

        Args:
            shares: of all journeys, by place; above 0, in any unit.

        Raises:
            Retryable: the load generator does not answer.
            InvalidInput: it refuses.
        """
        state = self._state()
        places = [
            {"latitude": place.latitude, "longitude": place.longitude, "share": share}
            for place, share in shares.items()
        ]
        client = ControlClient(state.loadgen.control_url, state.control_token)
        client.call("PUT", "/places", body={"places": places})

    def _has(self, mechanism: str) -> bool:
        """Whether the target has what carries faults by a mechanism: most come with it."""
        if mechanism not in (COLLECTOR, HOSTS):
            return True
        try:
            state = self._state()
        except (InvalidInput, Unavailable):
            # Of a target that isn't there nothing is known; most are not a launcher's.
            return mechanism != HOSTS
        return bool(state.launcher_url) if mechanism == HOSTS else state.collector is not None

    def _state(self) -> TargetState:
        return read_state(self._state_file)
