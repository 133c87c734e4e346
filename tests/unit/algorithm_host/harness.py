"""Hosts of algorithms that really run, without a fence, on a broker in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from scored_run import BEGIN_US, ScoredRun

from microservo.adapters.files import write_whole
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker
from schemas.codec import encode
from schemas.records import AlgorithmDeployment
from services.algorithm_host.service import run
from services.algorithm_host.settings import AlgorithmHostSettings


class World(ScoredRun):
    """What outlives hosts: the broker and their folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(MemoryBroker())

    def deploy(self, declaration: dict[str, Any], **changes: Any) -> AlgorithmDeployment:
        """Tells hosts of this version what to run, as the runner does."""
        deployment = replace(
            AlgorithmDeployment(
                algorithm="a",
                version=1,
                task="detector",
                title="",
                declaration=json.dumps(declaration),
                source="shipped",
                files_sha256="",
                training_sha256="",
                threshold=None,
                alarms_per_hour=1.0,
                is_fenced=False,
                is_control=False,
                is_wanted=True,
                deployed_at_us=BEGIN_US,
            ),
            **changes,
        )
        write_whole(self.folder / f"a@{deployment.version}" / "deployment", encode(deployment))
        return deployment

    @contextmanager
    def host(self, version: int = 1, **settings: Any) -> Iterator[Shutdown]:
        """A host in a thread of its own, which ends with the block."""
        given = AlgorithmHostSettings(
            run_id="run-1",
            deployment=self.folder / f"a@{version}" / "deployment",
            algorithm_folder=self.folder / f"a@{version}",
            checks=self.folder / "checks",
            environments=self.folder / "environments",
            **settings,
        )
        shutdown = Shutdown(signals=())
        errors: list[BaseException] = []

        def body() -> None:
            try:
                run(given, shutdown, broker=self.broker)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        try:
            yield shutdown
        finally:
            shutdown.request()
            thread.join(30)
            assert not thread.is_alive()
        if errors:
            raise errors[0]
