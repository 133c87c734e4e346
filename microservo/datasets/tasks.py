"""A share of a rebuild as the JSON that a worker reads from its stdin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from microservo.adapters.broker import Partition
from microservo.adapters.kafka import KafkaSettings
from microservo.datasets.share import Share
from microservo.domain.windows import WindowPolicy


def task(settings: KafkaSettings, share: Share, folder: Path) -> str:
    """What a worker reads from stdin; secrets go this way, for arguments are seen by others."""
    kafka = {name: _plain(value) for name, value in settings}
    policy = {name: getattr(share.policy, name) for name in WindowPolicy.__slots__}
    return json.dumps(
        {
            "kafka": kafka,
            "folder": str(folder),
            "run_id": share.run_id,
            "prefix": share.prefix,
            "policy": policy,
            "partition_numbers": share.partition_numbers,
            "ranges": [[*partition, *offsets] for partition, offsets in share.ranges.items()],
            "from_us": share.from_us,
            "batch": share.batch,
        }
    )


def given_share(given: dict[str, Any]) -> Share:
    """The share that `task` told of."""
    return Share(
        run_id=given["run_id"],
        prefix=given["prefix"],
        policy=WindowPolicy(**given["policy"]),
        partition_numbers=given["partition_numbers"],
        ranges={Partition(topic, index): (first, end) for topic, index, first, end in given["ranges"]},
        from_us=given["from_us"],
        batch=given["batch"],
    )


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value
