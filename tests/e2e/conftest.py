"""One run of the main job, which every test here examines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from main_job import MainJob, Recorded

from microservo.system.embedded import EmbeddedSystem
from microservo.system.options import SystemOptions


class Quiet:
    """Progress that nobody watches."""

    def advance(self, done: float, total: float) -> None: ...

    def show(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    @contextmanager
    def stage(self, title: str) -> Iterator[Quiet]:
        del title
        yield self


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("main-job")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROSERVO_HOME", str(folder / "home"))
        options = SystemOptions(name="main-job", seed=7, partitions=3, journeys_per_s=6.0)
        with EmbeddedSystem(options, Quiet()) as system:
            system.start()
            job = MainJob(system)
            job.run()
            system.finish_run()
            faults = job.faults()
            system.stop_processes()
            dataset = folder / "dataset"
            system.client.datasets.rebuild(system.run_id, dataset)
            yield Recorded(
                client=system.client,
                run_id=system.run_id,
                faults=faults,
                dataset=dataset,
                logs=options.folders.logs,
            )
