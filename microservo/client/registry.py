"""Service discovery from Python: where the closest instance is, and being one.

Example::

    from microservo import RegistryClient

    with RegistryClient("http://127.0.0.1:8761") as registry:
        with registry.register("cart", "http://127.0.0.1:9000", pid=os.getpid()):
            found = registry.endpoint("catalogue", by="load")
            print(found.endpoint if found else "no catalogue is up")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from pydantic import ValidationError

from microservo.application.registry import Registries
from microservo.client.registered import HEARTBEAT_S, Registered
from microservo.client.request_reports import REPORT_S, RequestReports
from microservo.domain.documents import problem
from microservo.domain.geography import Coordinates
from microservo.domain.registry.answers import FRESH_S, Answers
from microservo.domain.registry.documents import (
    EndpointQuestion,
    InstanceDocument,
    LocationDocument,
    RegistrationDocument,
)
from microservo.domain.registry.selection import By
from microservo.errors import InvalidInput, Retryable

T = TypeVar("T")

_Question = tuple[str, EndpointQuestion, Coordinates | None]


class RegistryClient:
    """Asks a registry and keeps its answers; may be used by several threads.

    Args:
        url: of the registry of the own region.
        others: URLs of registries that are asked where that one is away.
        token: what they ask for; empty for none.
        place: where this program is; by default where the registry is.
        cache_s: for how many seconds an answer is used again.
        timeout_s: how long each step of an answer may take.
        heartbeat_s: seconds between two heartbeats of an instance.
        report_s: seconds between two reports of requests that were answered from the cache.
        monotonic_s: seconds of a clock that only runs forward, for tests.
    """

    def __init__(
        self,
        url: str,
        *others: str,
        token: str = "",
        place: Coordinates | None = None,
        cache_s: float = FRESH_S,
        timeout_s: float = 2.0,
        heartbeat_s: float = HEARTBEAT_S,
        report_s: float = REPORT_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registries = Registries((url, *others), token, timeout_s=timeout_s)
        self._place = place
        self._heartbeat_s = heartbeat_s
        self._monotonic_s = monotonic_s
        self._reports = RequestReports(self._registries, report_s=report_s)
        self._lock = threading.Lock()
        self._answers = Answers[_Question, InstanceDocument](fresh_s=cache_s)

    def endpoint(
        self,
        service: str,
        *,
        among: int | None = None,
        distance_km: float | None = None,
        factor: float | None = None,
        by: By = "distance",
        place: Coordinates | None = None,
    ) -> InstanceDocument | None:
        """An instance of a service, the closest one if nothing else is said; None where none is up.

        The same answer is given for `cache_s`, and as long as no registry answers, however old it is. Each
        call counts as a request to the service from the place.

        Args:
            service: its name.
            among: by chance, among so many that are closest.
            distance_km: by chance, among those within so many kilometres, multiplied until there is one.
            factor: by which; 2 if not given.
            by: `load` gives those with more free capacity the better chance.
            place: of who asks; the client's if not given.

        Raises:
            InvalidInput: the registry refuses the question.
            Retryable: no registry answers, and none ever did.
        """
        where = place or self._place
        asked = _checked(lambda: EndpointQuestion(among=among, distance=distance_km, factor=factor, by=by))
        question = (service, asked, where)
        with self._lock:
            known = self._answers.fresh(question, at_s=self._monotonic_s())
        if known is None:
            try:
                return self._asked(question)
            except Retryable:
                with self._lock:
                    known = self._answers.any(question, at_s=self._monotonic_s())
                if known is None:
                    raise
        self._reports.count(service, where)
        return known.value

    def endpoints(self, service: str, *, place: Coordinates | None = None) -> Sequence[InstanceDocument]:
        """All instances of a service, the closest one first, whatever their state; never from the cache.

        Raises:
            InvalidInput: the registry refuses the question.
            Retryable: no registry answers.
        """
        return self._registries.ask(lambda api: api.endpoints(service, place or self._place))

    def forget(self, service: str) -> None:
        """Forgets the answers about a service, since the instance that was given out does not answer."""
        with self._lock:
            self._answers.forget_where(lambda question: question[0] == service)

    def report(self, service: str, place: Coordinates | None = None, requests: int = 1) -> None:
        """Counts requests to a service from a place, such as a user's; told the registry a little later.

        Raises:
            InvalidInput: the service or the number can't be.
        """
        _checked(lambda: LocationDocument(service=service, count=requests))
        self._reports.count(service, place or self._place, requests)

    def register(
        self,
        service: str,
        endpoint: str,
        *,
        instance: str | None = None,
        place: Coordinates | None = None,
        region: str | None = None,
        pid: int | None = None,
        health_url: str | None = None,
        load: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Registered:
        """Registers an instance that sends heartbeats until the block ends.

        Args:
            service: its name.
            endpoint: where it is called: a URL, or host:port.
            instance: its identity; made of service and endpoint if not given.
            place: where it runs; the client's, else the registry's, if not given.
            region: by default the one with the nearest centre.
            pid: a process on the registry's machine with whose end it is gone.
            health_url: what the registry asks whether it is healthy, at the endpoint's host.
            load: share of its capacity that is in use, from 0.
            metadata: what it says of itself besides.

        Raises:
            InvalidInput: something can't be, or the registry refuses it.
            Retryable: no registry answers.
        """
        where = place or self._place
        document = _checked(
            lambda: RegistrationDocument(
                service=service,
                instance=instance,
                endpoint=endpoint,
                latitude=where.latitude if where else None,
                longitude=where.longitude if where else None,
                region=region,
                pid=pid,
                health_url=health_url,
                load=load,
                metadata=dict(metadata or {}),
            )
        )
        return Registered(self._registries, document, heartbeat_s=self._heartbeat_s)

    def close(self) -> None:
        """Reports what was counted, and closes its connections."""
        self._reports.close()
        self._registries.close()

    def _asked(self, question: _Question) -> InstanceDocument | None:
        service, asked, where = question
        found = self._registries.ask(lambda api: api.endpoint(service, asked, where))
        with self._lock:
            if found is None:
                self._answers.forget_where(lambda each: each == question)
            else:
                self._answers.keep(question, found, at_s=self._monotonic_s())
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _checked(make: Callable[[], T]) -> T:
    try:
        return make()
    except ValidationError as error:
        raise InvalidInput(problem(error)) from error
