"""An instance that keeps in touch with a registry for as long as a block lasts."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from microservo.application.registry import Registries, RegistryApi
from microservo.domain.registry.documents import ConditionDocument, InstanceDocument, RegistrationDocument
from microservo.errors import InvalidInput, MicroServoError, Retryable

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0


class Registered:
    """Sends heartbeats from a thread of its own, registers again where it has to, and deregisters at the end.

    A registry that is away is waited for, or, where there are others, replaced by another one.

    Args:
        registries: whom to register with.
        document: what is registered.
        heartbeat_s: seconds between two heartbeats.

    Attributes:
        instance_id: its identity among the instances of its service.

    Raises:
        InvalidInput: the registry refuses it.
        Retryable: no registry answers.
    """

    def __init__(
        self, registries: Registries, document: RegistrationDocument, *, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._registries = registries
        self._document = document
        self._heartbeat_s = heartbeat_s
        self._condition = ConditionDocument()
        self.instance_id = document.instance_name
        self._lock = threading.Lock()
        self._home = self._register()
        self._is_new = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{self.instance_id}", daemon=True)
        self._thread.start()

    def update(
        self, *, load: float | None = None, healthy: bool | None = None, draining: bool | None = None
    ) -> None:
        """Says how the instance is, at once and from now on; what is left out stays as it was.

        Args:
            load: share of its capacity that is in use, from 0.
            healthy: whether it can answer.
            draining: whether it shall get no new requests.
        """
        given = ConditionDocument(load=load, healthy=healthy, draining=draining)
        with self._lock:
            known = self._condition.model_dump(exclude_none=True)
            self._condition = ConditionDocument(**{**known, **given.model_dump(exclude_none=True)})
        self._is_new.set()

    def close(self) -> None:
        """Deregisters; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_new.set()
        self._thread.join()
        try:
            self._home.deregister(self._document.service, self.instance_id)
        except MicroServoError as error:
            logger.warning("%s is not deregistered, its silence will say it: %s", self.instance_id, error)

    def _register(self) -> RegistryApi:
        """The registry that has it now."""
        with self._lock:
            known = self._condition.model_dump(exclude_none=True)
        document = self._document.model_copy(update=known)

        def act(api: RegistryApi) -> RegistryApi:
            api.register(document)
            return api

        return self._registries.ask(act)

    def _renew(self) -> InstanceDocument | None:
        with self._lock:
            condition = self._condition
        try:
            return self._home.renew(self._document.service, self.instance_id, condition)
        except (InvalidInput, Retryable) as error:
            # It is away, or says that another one has the instance: whichever answers gets it.
            logger.warning("a heartbeat of %s failed: %s", self.instance_id, error)
            return None

    def _run(self) -> None:
        while not self._is_closed:
            if self._is_new.wait(self._heartbeat_s):
                self._is_new.clear()
            if self._is_closed or self._renew() is not None:
                continue
            try:
                self._home = self._register()
            except MicroServoError as error:
                logger.warning("%s is not registered, trying again: %s", self.instance_id, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
