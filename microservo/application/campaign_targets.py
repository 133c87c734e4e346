"""Targets of campaigns as they run: their services in a cluster, and whether they can carry a plan."""

from __future__ import annotations

from microservo.application.command import Context
from microservo.domain.campaigns.definition import CLUSTER, Definition
from microservo.domain.campaigns.plan import CampaignPlan, request_of
from microservo.domain.campaigns.target import CampaignTarget
from microservo.domain.faults.catalogue import parse_request
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import Platform, kinds_here, labels_of, services_of


def cluster_target(definition: Definition, context: Context) -> CampaignTarget:
    """The target in a cluster: the services that a definition names, or else those that run there."""
    named = dict.fromkeys((*definition.services, *definition.instances))
    if definition.services:
        return CampaignTarget(name=CLUSTER, services=(*named, *definition.without))
    platform = context.connection.platform()
    if platform is None or platform.name != CLUSTER:
        msg = (
            f"campaign {definition.name} takes its services from the cluster that is attached, and none is; "
            "`microservo up --target kubernetes --namespace N` attaches one, or name them under [target]"
        )
        raise Unavailable(msg)
    return CampaignTarget(name=CLUSTER, services=tuple(sorted(services_of(platform))))


def check_faults(plan: CampaignPlan, platform: Platform) -> None:
    """Refuses a plan with a fault that can't be carried out on the target as it is now."""
    kinds, services, labels = kinds_here(platform), services_of(platform), labels_of(platform.instances())
    lacking = {step.kind for step in plan.steps} - kinds
    if lacking:
        msg = f"the running target can't carry {', '.join(sorted(lacking))}; leave them out of the mix"
        raise InvalidInput(msg)
    for step in plan.steps:
        try:
            parse_request(request_of(plan.name, step, 0), services, kinds, labels=labels)
        except InvalidInput as error:
            msg = f"fault {step.number} of {plan.name}, {step.kind} on {step.service}: {error}"
            raise InvalidInput(msg) from error
