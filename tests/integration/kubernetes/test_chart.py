"""The Helm chart: what it renders is taken by a real API server, and allows what is needed and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from chaos_controller import ChaosController
from cluster_world import Workloads
from kubernetes_cluster import API_SERVER_VERSION, Cluster, helm_binary, new_namespace

from microservo.application.catalogue_database import URL_VARIABLE
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from microservo.log.topics import topic_specs
from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.permissions import PERMISSIONS, TO_WATCH, Permission, lacking
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.target import KubernetesTarget
from microservo.runtime.settings import ServiceSettings
from services.balancer.settings import BalancerSettings
from services.manager.settings import ManagerSettings
from services.registry.settings import RegistrySettings

pytestmark = pytest.mark.integration

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "microservo"
Settings = TypeVar("Settings", bound=ServiceSettings)
PLURALS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}


def helm(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Helm as its module is built takes every cluster for an old one.
    argv = [str(helm_binary()), command, *arguments, "--kube-version", API_SERVER_VERSION]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def rendered(namespace: str, *settings: str) -> list[Json]:
    options = [option for each in settings for option in ("--set", each)]
    done = helm("template", "ms", str(CHART), "--namespace", namespace, *options)
    assert not done.returncode, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def install(api: KubernetesApi, namespace: str, *settings: str) -> list[Json]:
    found = rendered(namespace, *settings)
    for each in found:
        where = each["metadata"].get("namespace", namespace)
        api.create(PLURALS[each["kind"]].format(where), each)
    return found


def of_kind(found: list[Json], kind: str) -> list[Json]:
    return [each for each in found if each["kind"] == kind]


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", "kafka.bootstrapServers=k:9092")
    assert "0 chart(s) failed" in done.stdout, done.stdout


def test_a_chart_without_a_kafka_says_what_to_set() -> None:
    done = helm("template", "ms", str(CHART))
    assert "set kafka.bootstrapServers to host:port" in done.stderr


def test_the_api_server_takes_all_of_it_and_every_pod_is_kept_small(kubernetes_cluster: Cluster) -> None:
    api = kubernetes_cluster.api()
    namespace = new_namespace(api)
    other = new_namespace(api, "data")
    found = install(
        api,
        namespace,
        "kafka.bootstrapServers=kafka:9092",
        "archive.enabled=true",
        f"target.namespaces={{{namespace},{other}}}",
    )
    pods = [each["spec"]["template"]["spec"] for each in found if each["kind"] in ("Deployment", "Job")]
    assert len(pods) == 10
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
    for deployment in of_kind(found, "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]
        assert container["readinessProbe"]
    # What may act on the target is what sees it, and nothing else gets a token.
    with_token = {
        each["metadata"]["name"]
        for each in of_kind(found, "Deployment")
        if each["spec"]["template"]["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {"ms-run", "ms-telemetry-collector", "ms-fault-injector"}
    (target,) = [each for each in of_kind(found, "ConfigMap") if each["metadata"]["name"] == "ms-target"]
    assert KubernetesTarget.model_validate_json(target["data"]["target.json"]) == KubernetesTarget(
        namespaces=(namespace, other)
    )
    assert {each["metadata"]["namespace"] for each in of_kind(found, "Role")} == {namespace, other}


REGIONS = (
    "regions[0].name=Europe",
    "regions[0].latitude=50",
    "regions[0].longitude=9",
    "regions[1].name=North America",
    "regions[1].latitude=0",
    "regions[1].longitude=-95",
)


def settings_of(deployment: Json, kind: type[Settings]) -> Settings:
    """The settings that a process of the chart would read, with a secret in place of what a Secret holds."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value", "secret") for each in container["env"]}
    names = {f"MICROSERVO_{name.upper()}": name for name in kind.model_fields}
    ours = {each for each in variables if each.startswith("MICROSERVO_")}
    assert ours <= names.keys(), ours - names.keys()
    return kind(**{names[each]: variables[each] for each in ours})


def test_each_region_has_a_registry_a_balancer_and_a_worker_that_the_api_server_takes(
    kubernetes_cluster: Cluster,
) -> None:
    api = kubernetes_cluster.api()
    settings = (
        "kafka.bootstrapServers=kafka:9092",
        "controlTokenSecret=tokens",
        "manager.driver=ours:driver",
    )
    found = install(api, new_namespace(api), *settings, *REGIONS)
    deployments = {each["metadata"]["name"]: each for each in of_kind(found, "Deployment")}
    assert settings_of(deployments["ms-manager"], ManagerSettings).manager_name == "master"
    for name, region, latitude in (("europe", "Europe", 50.0), ("north-america", "North America", 0.0)):
        registry = settings_of(deployments[f"ms-registry-{name}"], RegistrySettings)
        balancer = settings_of(deployments[f"ms-balancer-{name}"], BalancerSettings)
        worker = settings_of(deployments[f"ms-worker-{name}"], ManagerSettings)
        assert (registry.registry_name, registry.region) == (name, region)
        assert registry.place == balancer.place
        assert registry.place.latitude == latitude
        assert (worker.manager_name, worker.manager_region) == (f"worker-{name}", region)
        assert worker.manager_driver == "ours:driver"
        assert "8080" not in {str(balancer.balancer_port), str(balancer.balancer_api_port)}, "of health"
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind(found, "Service")}
    assert [each["port"] for each in services["ms-registry-europe"]] == [8761]
    assert [each["port"] for each in services["ms-balancer-north-america"]] == [1906, 8000]


def test_without_a_driver_there_is_no_manager_and_without_a_token_no_region() -> None:
    names = {each["metadata"]["name"] for each in rendered("shop", "kafka.bootstrapServers=kafka:9092")}
    assert not {each for each in names if "manager" in each or "worker" in each or "registry" in each}
    given = [option for each in ("kafka.bootstrapServers=k:9092", *REGIONS) for option in ("--set", each)]
    assert "set controlTokenSecret" in helm("template", "ms", str(CHART), *given).stderr


def test_the_projector_has_a_database_in_its_pod_or_that_of_a_secret_or_is_left_out() -> None:
    kafka = "kafka.bootstrapServers=kafka:9092"

    def projectors(*more: str) -> list[Json]:
        found = of_kind(rendered("shop", kafka, *more), "Deployment")
        return [each for each in found if each["metadata"]["name"] == "ms-projector"]

    (own,) = projectors()
    (url,) = [each["value"] for each in environment_of(own) if each["name"] == URL_VARIABLE]
    assert url.startswith("sqlite:////tmp/"), "which is a volume, and nothing else can be written"
    (other,) = projectors("catalogue.existingSecret=databases")
    (variable,) = [each for each in environment_of(other) if each["name"] == URL_VARIABLE]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "databases", "key": URL_VARIABLE}
    assert projectors("catalogue.enabled=false") == []


def environment_of(deployment: Json) -> list[Json]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: list[Json] = container["env"]
    return found


def test_the_topics_of_the_contract_are_topics_of_strimzi() -> None:
    found = rendered("shop", "strimzi.enabled=true", "topicPrefix=a-", "topics.partitions=6")
    specs = {spec.name: spec for spec in topic_specs(prefix="a-", partitions=6)}
    topics = {each["spec"]["topicName"]: each for each in of_kind(found, "KafkaTopic")}
    assert set(topics) == set(specs)
    for name, topic in topics.items():
        assert topic["apiVersion"] == "kafka.strimzi.io/v1"
        assert topic["metadata"]["labels"]["strimzi.io/cluster"] == "my-cluster"
        assert topic["spec"]["partitions"] == specs[name].partitions
        assert topic["spec"]["config"] == {key: str(value) for key, value in specs[name].config.items()}
    settings = next(each for each in of_kind(found, "ConfigMap") if each["metadata"]["name"] == "ms-settings")
    assert settings["data"]["MICROSERVO_BOOTSTRAP_SERVERS"] == "my-cluster-kafka-bootstrap:9092"


def rule(permission: Permission) -> dict[str, Any]:
    return {
        "apiGroups": [permission.group],
        "resources": [permission.resource],
        "verbs": list(permission.verbs),
    }


def account(api: KubernetesApi, namespace: str, rules: list[dict[str, Any]]) -> str:
    """The token of an account that may what these rules say."""
    name, group = "worker", "rbac.authorization.k8s.io"
    accounts = PLURALS["ServiceAccount"].format(namespace)
    api.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}
    api.create(PLURALS["Role"].format(namespace), role)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [subject],
    }
    api.create(PLURALS["RoleBinding"].format(namespace), binding)
    return token(api, namespace, name)


def token(api: KubernetesApi, namespace: str, name: str) -> str:
    path = f"{PLURALS['ServiceAccount'].format(namespace)}/{name}/token"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(api.create(path, review)["status"]["token"])


def allowed_by(role: Json) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for each in role["rules"]
        for group in each["apiGroups"]
        for resource in each["resources"]
        for verb in each["verbs"]
    }


def needed(permissions: Sequence[Permission]) -> set[tuple[str, str, str]]:
    return {(each.group, each.resource, verb) for each in permissions for verb in each.verbs}


def test_where_others_keep_their_objects_the_chart_allows_to_see_them_and_no_more(
    kubernetes_cluster: Cluster,
) -> None:
    api = kubernetes_cluster.api()
    namespace, elsewhere = new_namespace(api), new_namespace(api, "chaos-mesh")
    settings = f"target.faultNamespaces={{{namespace},{elsewhere}}}"
    found = install(api, namespace, "kafka.bootstrapServers=kafka:9092", settings)
    roles = {each["metadata"]["namespace"]: each for each in of_kind(found, "Role")}
    assert allowed_by(roles[namespace]) == needed(PERMISSIONS), "it belongs to the target anyway"
    assert allowed_by(roles[elsewhere]) == needed(TO_WATCH)
    worker = kubernetes_cluster.api(token(api, namespace, "ms-target"))
    assert list(lacking(worker, [elsewhere], TO_WATCH)) == []
    (target,) = [each for each in of_kind(found, "ConfigMap") if each["metadata"]["name"] == "ms-target"]
    assert KubernetesTarget.model_validate_json(target["data"]["target.json"]) == KubernetesTarget(
        namespaces=(namespace,), fault_namespaces=(namespace, elsewhere)
    )


def test_the_chart_allows_exactly_what_is_declared_to_be_needed(kubernetes_cluster: Cluster) -> None:
    api = kubernetes_cluster.api()
    namespace = new_namespace(api)
    found = install(api, namespace, "kafka.bootstrapServers=kafka:9092")
    (role,) = of_kind(found, "Role")
    assert allowed_by(role) == needed(PERMISSIONS)
    worker = kubernetes_cluster.api(token(api, namespace, "ms-target"))
    assert list(lacking(worker, [namespace])) == []


def test_with_these_permissions_a_fault_lives_and_ends_and_no_other_thing_can_be_touched(
    kubernetes_cluster: Cluster,
) -> None:
    api = kubernetes_cluster.api()
    workloads = Workloads(api, new_namespace(api))
    (cart,) = workloads.deploy("cart")
    worker = kubernetes_cluster.api(account(api, workloads.namespace, [rule(each) for each in PERMISSIONS]))
    with ChaosController(workloads).running():
        platform = KubernetesPlatform(worker, [workloads.namespace])
        assert [each.service for each in platform.instances()] == ["cart"]
        assert platform.meter().read()[cart]["process.memory.usage"] > 0
        fault = KINDS["network-delay"].from_text({"latency": "300ms"})
        mechanism = platform.mechanisms(fault.kind)[0]
        assert mechanism.apply(cart, "f1", fault.wire()).within_us is not None
        mechanism.recover(cart, "f1", fault.wire())
    for path in (
        f"/api/v1/namespaces/{workloads.namespace}/secrets",
        f"/api/v1/namespaces/{new_namespace(api)}/pods",
        "/api/v1/namespaces",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ):
        with pytest.raises(InvalidInput, match="is forbidden"):
            worker.get(path)
    with pytest.raises(InvalidInput, match="is forbidden"):
        worker.delete(f"/api/v1/namespaces/{workloads.namespace}/pods/{cart.split('/')[1]}")


@pytest.mark.parametrize(
    "without", [each for each in PERMISSIONS if not each.group.startswith("chaos")], ids=str
)
def test_a_permission_that_lacks_is_named_with_what_does_not_work_then(
    without: Permission, kubernetes_cluster: Cluster
) -> None:
    api = kubernetes_cluster.api()
    namespace = new_namespace(api)
    rules = [rule(each) for each in PERMISSIONS if each != without]
    worker = kubernetes_cluster.api(account(api, namespace, rules))
    assert list(lacking(worker, [namespace])) == [(without, namespace, ", ".join(without.verbs))]


def test_without_the_permission_to_create_a_fault_is_refused_by_the_clusters_own_word(
    kubernetes_cluster: Cluster,
) -> None:
    api = kubernetes_cluster.api()
    workloads = Workloads(api, new_namespace(api))
    (cart,) = workloads.deploy("cart")
    rules = [rule(each) for each in PERMISSIONS if each.resource != "networkchaos"]
    worker = kubernetes_cluster.api(account(api, workloads.namespace, rules))
    fault = KINDS["network-delay"].from_text({"latency": "300ms"})
    mechanism = KubernetesPlatform(worker, [workloads.namespace]).mechanisms(fault.kind)[0]
    with pytest.raises(InvalidInput, match=r"networkchaos\.chaos-mesh\.org is forbidden"):
        mechanism.apply(cart, "f1", fault.wire())
