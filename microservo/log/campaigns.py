"""Campaigns as they lie on their topics: plans and where they stand on one, the journals on the other."""

from __future__ import annotations

import contextlib

from microservo.adapters.broker import Broker
from microservo.log.reader import read_state, read_topic
from schemas.catalogue import CAMPAIGN_EVENTS, CAMPAIGNS
from schemas.codec import SchemaError, decode_as
from schemas.records import CampaignEvent, CampaignRun


def read_campaigns(broker: Broker, topic_prefix: str = "") -> dict[str, CampaignRun]:
    """All campaigns by their ids, in the order in which they were started.

    Raises:
        InvalidInput: the broker has no topic of them.
        Retryable: the broker is away for now.
    """
    found = read_state(broker, topic_prefix + CAMPAIGNS, CampaignRun)
    return dict(sorted(found.items(), key=lambda item: (item[1].started_at_us, item[0])))


def read_journal(broker: Broker, topic_prefix: str, campaign_id: str) -> list[CampaignEvent]:
    """The journal of a campaign, in the order in which it was written; raises as `read_campaigns`."""
    found = []
    for message in read_topic(broker, topic_prefix + CAMPAIGN_EVENTS):
        if message.key == campaign_id.encode():
            with contextlib.suppress(SchemaError):
                found.append(decode_as(CampaignEvent, message.value or b""))
    return found
