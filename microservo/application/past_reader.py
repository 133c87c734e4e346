"""A collector that reads a range of the past into a run, minute by minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from microservo.adapters.broker import Broker
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.processes import python_argv
from microservo.application.progress import Stage
from microservo.errors import Unavailable
from microservo.log.collected_minutes import collected_minutes
from microservo.sources.past import PastRange, write_range
from microservo.supervision.process import tail
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from schemas.records import CollectedMinute

_COLLECTOR = "collector"
_LOOK_S = 0.5
_STOP_S = 60.0
"""A minute that was begun is read and shipped to its end."""


class PastReader:
    """Reads a range into a run that was begun.

    Args:
        broker: where the run is.
        topic_prefix: put before every topic name.
        run_id: the run.
        past: the range, and where it is read.
        folder: for what the collector is told, and its log.
    """

    def __init__(self, broker: Broker, topic_prefix: str, run_id: str, past: PastRange, folder: Path) -> None:
        self._broker, self._prefix, self._run_id = broker, topic_prefix, run_id
        self._past = past
        self._folder = folder
        self._supervisor = Supervisor()

    def read(self, stage: Stage) -> None:
        """Reads all minutes that are missing.

        Raises:
            Unavailable: a store or the broker was away for long; what was read stays.
        """
        total = len(self._past.minutes_us) * len(self._past.source)
        declaration, log = self._folder / "range.json", self._folder / f"{_COLLECTOR}.log"
        write_range(self._past, declaration)
        assert isinstance(self._broker, KafkaBroker)
        self._supervisor.start(
            ProcessSpec(
                name=_COLLECTOR,
                argv=python_argv("services.telemetry_collector"),
                env={
                    "MICROSERVO_BOOTSTRAP_SERVERS": self._broker.settings.bootstrap_servers,
                    "MICROSERVO_TOPIC_PREFIX": self._prefix,
                    "MICROSERVO_RUN_ID": self._run_id,
                    "MICROSERVO_PAST": str(declaration),
                },
                log=log,
                restart="never",
                stop_timeout_s=_STOP_S,
            )
        )
        while True:
            is_down = self._supervisor.pids()[_COLLECTOR] is None
            done = len(self.minutes())
            stage.advance(done, total)
            if is_down:
                break
            time.sleep(_LOOK_S)
        if done < total:
            missing = f"{total - done} of {total} minutes are missing; go on with --run {self._run_id}"
            msg = f"{missing}; the log {log} ends with:\n{tail(log)}"
            raise Unavailable(msg)
        stage.show(f"{total}")

    def minutes(self) -> Sequence[CollectedMinute]:
        """Those of the range that are in the run, of each source."""
        wanted = self._past.minutes_us
        found = collected_minutes(self._broker, self._run_id, self._prefix)
        return [each for each in found if each.start_us in wanted]

    def kill(self) -> None:
        """Kills the collector at once; end this process then."""
        self._supervisor.kill()

    def close(self) -> None:
        """Stops the collector once the minute under way is done."""
        self._supervisor.close()
