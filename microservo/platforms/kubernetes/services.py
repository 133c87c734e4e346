"""Which service a pod belongs to: what its annotation says, or what owns it in the end."""

from __future__ import annotations

import threading

from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.api import KubernetesApi, NotFound
from microservo.platforms.kubernetes.pods import Owner, Pod, controller_of

_BETWEEN = {"ReplicaSet": "replicasets", "Job": "jobs"}
"""Owners that something else makes, under names of its own, with the plural of their path."""


class Services:
    """Names services, asking the cluster once for each owner. Several threads may ask.

    ::

        pod cart-7d9f-x2 ─► ReplicaSet cart-7d9f ─► Deployment cart      so its service is "cart"

    Args:
        api: the cluster.
    """

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._owners: dict[str, Owner] = {}
        self._lock = threading.Lock()

    def of(self, pod: Pod) -> str:
        """The name of a pod's service; its own name where nothing owns it.

        Raises:
            Retryable: no answer.
        """
        if pod.service:
            return pod.service
        owner = pod.owner
        while owner.kind in _BETWEEN:
            above = self._above(pod.namespace, owner)
            if not above.uid:
                break
            owner = above
        return owner.name or pod.name

    def _above(self, namespace: str, owner: Owner) -> Owner:
        with self._lock:
            if owner.uid in self._owners:
                return self._owners[owner.uid]
        path = f"/apis/{owner.api_version}/namespaces/{namespace}/{_BETWEEN[owner.kind]}/{owner.name}"
        try:
            above = controller_of(self._api.get(path)["metadata"])
        except NotFound:
            above = Owner()
        except InvalidInput as error:
            msg = f"{error}; without it the service of {namespace}/{owner.name} is not known"
            raise InvalidInput(msg) from error
        with self._lock:
            self._owners[owner.uid] = above
        return above
