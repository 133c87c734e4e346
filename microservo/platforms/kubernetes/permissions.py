"""What MicroServo may have to do in a cluster: no more than this is asked for, and no less is enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microservo.platforms.kubernetes.api import KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import GROUP, PLURALS

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What is to be allowed in each namespace of the target.

    Attributes:
        group: of the API; empty for the core.
        resource: plural of its objects.
        verbs: as a Role has them.
        purpose: what does not work without.
        is_needed: nothing works without.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    is_needed: bool = False

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{', '.join(self.verbs)} {where}"


PERMISSIONS: tuple[Permission, ...] = (
    Permission(group="", resource="pods", verbs=_READ, purpose="to see the target", is_needed=True),
    Permission(group="apps", resource="replicasets", verbs=("get",), purpose="to know a pod's service"),
    Permission(group="batch", resource="jobs", verbs=("get",), purpose="to know a pod's service"),
    Permission(group="", resource="events", verbs=("list",), purpose="exact instants of faults"),
    Permission(group="metrics.k8s.io", resource="pods", verbs=("list",), purpose="what pods use"),
    *(
        Permission(
            group=GROUP,
            resource=plural,
            verbs=(*_READ, "create", "delete", "patch"),
            purpose=f"faults by {kind}",
        )
        for kind, plural in PLURALS.items()
    ),
)

"""What is needed in each namespace of the target."""

TO_WATCH: tuple[Permission, ...] = (
    Permission(group="", resource="events", verbs=("list",), purpose="exact instants of faults of others"),
    *(
        Permission(group=GROUP, resource=plural, verbs=_READ, purpose=f"faults of others by {kind}")
        for kind, plural in PLURALS.items()
    ),
)
"""What is needed in each other namespace in which others keep objects of Chaos Mesh."""


def lacking(
    api: KubernetesApi, namespaces: Sequence[str], permissions: Sequence[Permission] = PERMISSIONS
) -> Iterator[tuple[Permission, str, str]]:
    """What this user may not do: the permission, the namespace, and those of its verbs that are refused.

    Raises:
        Retryable: no answer.
    """
    for namespace in namespaces:
        for permission in permissions:
            refused = [verb for verb in permission.verbs if not _may(api, namespace, permission, verb)]
            if refused:
                yield permission, namespace, ", ".join(refused)


def _may(api: KubernetesApi, namespace: str, permission: Permission, verb: str) -> bool:
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": permission.group,
        "resource": permission.resource,
    }
    review = api.create(
        _REVIEWS,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
    )
    return bool(review["status"]["allowed"])
