"""The compose file: what it promises, by reading it and by running its commands without containers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from balancer_server import nginx_folder
from pydantic_settings import BaseSettings

from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.ports import free_ports
from microservo.application.catalogue_database import URL_VARIABLE, opened
from microservo.catalogue.reading import Catalogue
from microservo.cli.root import cli
from microservo.client import Client
from microservo.datasets import verify
from microservo.platforms.local.remote_driver import LAUNCHER_URL, RemoteDriver
from microservo.platforms.local.token import VARIABLE
from microservo.runtime.settings import ServiceSettings
from microservo.system.processes import HEALTH_NAMES
from microservo.testing import eventually
from schemas.records import LabelledWindow
from services.algorithm_host.settings import AlgorithmHostSettings
from services.algorithm_runner.settings import AlgorithmRunnerSettings
from services.archiver.settings import ArchiverSettings
from services.balancer.settings import BalancerSettings
from services.effect_observer.settings import EffectObserverSettings
from services.evaluator.settings import EvaluatorSettings
from services.fault_injector.settings import FaultInjectorSettings
from services.launcher.settings import LauncherSettings
from services.manager.settings import ManagerSettings
from services.projector.settings import ProjectorSettings
from services.registry.settings import RegistrySettings
from services.telemetry_collector.settings import Settings as CollectorSettings
from streams.settings import StreamsSettings

ROOT = Path(__file__).parents[2]
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"
OURS: Mapping[str, type[ServiceSettings]] = {
    "topics": ServiceSettings,
    "target": ServiceSettings,
    "telemetry-collector": CollectorSettings,
    "fault-injector": FaultInjectorSettings,
    "effect-observer": EffectObserverSettings,
    "streams": StreamsSettings,
    "algorithms": ServiceSettings,
    "algorithm-runner": AlgorithmRunnerSettings,
    "evaluator": EvaluatorSettings,
    "archiver": ArchiverSettings,
    "projector": ProjectorSettings,
    "hosts-collector": CollectorSettings,
    "manager": ManagerSettings,
    "registry": RegistrySettings,
    "balancer": BalancerSettings,
}
LAUNCHER = "launcher"
"""It needs no Kafka, and reads its command line."""
WITH_A_FENCE = ("algorithm-runner", "evaluator")
BESIDE_TARGET = ("telemetry-collector", "fault-injector")
MANAGED = (LAUNCHER, "hosts-collector", "manager", "registry", "balancer")
"""Those of the profile `manager`."""
START_S = 120
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
TINY = """
name = "tiny"
entry = "front"
[services.front.endpoints.Home]
cpu_ms = 0.2
calls = [{ service = "back", endpoint = "Get" }]
[services.back.endpoints.Get]
cpu_ms = 0.2
[[journeys]]
name = "home"
weight = 1
steps = [{ endpoint = "Home" }]
"""


def compose(**variables: str) -> dict[str, dict[str, Any]]:
    """The services of the compose file, with these variables and the defaults of all others."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    services = filled(document["services"], variables)
    assert isinstance(services, dict)
    return services


def filled(value: object, variables: Mapping[str, str]) -> object:
    """As Compose does it: in every text of the parsed document."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables.get(found[1], found[2]), value)
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    return value


def documented(*, only_defaults: bool = False) -> dict[str, str]:
    """The variables of .env.example with their defaults; those that it only explains have an empty one."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    defaults = dict(line.split("=", 1) for line in lines if re.match(r"MICROSERVO_\w+=", line))
    explained = {found[1]: "" for line in lines if (found := re.match(r"# (MICROSERVO_\w+) {2,}\S", line))}
    return defaults if only_defaults else {**explained, **defaults}


def our_variables(name: str) -> dict[str, str]:
    environment: dict[str, str] = compose()[name]["environment"]
    return environment


def test_every_process_of_the_platform_has_a_service() -> None:
    assert set(compose()) == {"kafka", LAUNCHER, *OURS}
    assert tuple(name for name, each in compose().items() if each.get("profiles") == ["manager"]) == MANAGED
    assert set(HEALTH_NAMES) < set(OURS)


@pytest.mark.parametrize("name", [*OURS, LAUNCHER])
def test_every_command_exists(name: str) -> None:
    program, *arguments = compose()[name]["command"]
    if program == "python":
        *flags, module = arguments[:3]
        assert flags == ["-P", "-m"], "modules of the folder it runs in must not come before ours"
        assert importlib.util.find_spec(f"{module}.__main__") is not None
        return
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments.pop(0))
        assert found is not None
        command = found
    command.make_context(name, [*arguments])


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_of_its_service_and_documented(name: str) -> None:
    fields = {*OURS[name].model_fields, *KafkaSettings.model_fields}
    if name == "target":
        fields |= options_by_variable(cli.get_command(click.Context(cli), "target"))
        # Lists are asked for there, by `docker compose exec`.
        fields |= {setting_named(URL_VARIABLE)}
    if name == "manager":
        fields |= {setting_named(LAUNCHER_URL), setting_named(VARIABLE)}
    for variable in our_variables(name):
        assert variable.removeprefix("MICROSERVO_").lower() in fields, variable
        assert variable in documented(), variable


def test_the_launcher_starts_only_with_a_token_and_is_where_the_manager_asks() -> None:
    arguments = compose()[LAUNCHER]["command"][4:]
    environment = our_variables(LAUNCHER)
    with pytest.raises(SystemExit, match="MICROSERVO_CONTROL_TOKEN is not set"):
        LauncherSettings.from_arguments(arguments, environment)
    settings = LauncherSettings.from_arguments(arguments, {**environment, VARIABLE: "secret"})
    collector = our_variables("hosts-collector")
    assert our_variables("manager")[LAUNCHER_URL] == f"http://127.0.0.1:{settings.port}"
    assert environment["MICROSERVO_HEALTH_PORT"] == str(settings.port)
    assert settings.otlp == f"http://127.0.0.1:{collector['MICROSERVO_OTLP_PORT']}"
    assert collector["MICROSERVO_TARGET_STATE"] == str(settings.folder / "target.json")
    assert f"hosts:{settings.folder}" in compose()[LAUNCHER]["volumes"]
    assert environment.keys() <= documented().keys()


def setting_named(variable: str) -> str:
    return variable.removeprefix("MICROSERVO_").lower()


def options_by_variable(command: click.Command | None) -> set[str]:
    assert command is not None
    return {
        parameter.envvar.removeprefix("MICROSERVO_").lower()
        for parameter in command.params
        if isinstance(parameter.envvar, str)
    }


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_every_service_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in our_variables(name).items():
        monkeypatch.setenv(variable, value)
    settings = OURS[name]()
    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.run_id == ("" if name in ("topics", "algorithms") else "compose")


def test_the_defaults_of_the_example_are_those_of_the_compose_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert dict(_VARIABLE.findall(text)) == documented(only_defaults=True)
    assert len({*_VARIABLE.findall(text)}) == len(documented(only_defaults=True))


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_a_service_is_explained_to_who_runs_it(name: str) -> None:
    fields = {*OURS[name].model_fields, *KafkaSettings.model_fields} - {"kafka"}
    assert {f"MICROSERVO_{field.upper()}" for field in fields} <= documented().keys()


def test_what_is_explained_is_a_setting() -> None:
    kinds: list[type[BaseSettings]] = [*OURS.values(), AlgorithmHostSettings, KafkaSettings]
    settings = {field for kind in kinds for field in kind.model_fields}
    settings |= options_by_variable(cli.get_command(click.Context(cli), "target")) | {
        "control_token",
        "launcher_url",
    }
    explained = documented().keys() - documented(only_defaults=True).keys()
    assert {each.removeprefix("MICROSERVO_").lower() for each in explained} <= settings


def test_what_depends_on_a_service_can_wait_for_it() -> None:
    services = compose()
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            ends = how["condition"] == "service_completed_successfully"
            assert ends == (needed == "topics")
            assert ends or how["condition"] == "service_healthy"
            assert services[needed].get("healthcheck", {}).get("disable", False) == ends


def test_nothing_is_open_to_other_machines_and_nothing_is_privileged() -> None:
    for name, service in compose().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["cap_drop"] == ["ALL"]
        assert not {"privileged", "cap_add", "devices", "userns_mode", "ipc"} & set(service)
        fence = ["seccomp=unconfined", "systempaths=unconfined"] if name in WITH_A_FENCE else []
        assert service["security_opt"] == ["no-new-privileges:true", *fence]
        assert service.get("network_mode") in (None, "service:target")
        assert service.get("pid") == service.get("network_mode")
        assert name == "kafka" or service["read_only"]


def test_those_that_look_at_the_targets_processes_share_its_namespaces() -> None:
    services = compose()
    assert tuple(name for name, each in services.items() if "pid" in each) == (*BESIDE_TARGET, *MANAGED)
    in_one_network = ("target", *BESIDE_TARGET, *MANAGED)
    variables = [services[name]["environment"] for name in in_one_network]
    ports = [each[name] for each in variables for name in each if name.endswith("_PORT")]
    assert len(set(ports)) == len(ports), "no two listen on one port"
    together = ("target", *BESIDE_TARGET)
    assert len({services[name]["environment"]["MICROSERVO_TARGET_STATE"] for name in together}) == 1
    assert services["telemetry-collector"]["environment"]["MICROSERVO_OTLP_PORT"] == "4318"


def test_lists_in_the_targets_container_read_what_the_projector_writes() -> None:
    target, projector = compose()["target"], compose()["projector"]
    url = projector["environment"][URL_VARIABLE]
    assert target["environment"][URL_VARIABLE] == url
    (volume,) = projector["volumes"]
    assert volume in target["volumes"]
    assert url.startswith(f"sqlite:///{volume.partition(':')[2]}/")


def test_images_are_pinned_and_ours_is_built_once() -> None:
    services = compose()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert {services[name]["image"] for name in (*OURS, LAUNCHER)} == {f"microservo:{version}"}
    assert re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", services["kafka"]["image"])
    # Two builds of one tag at the same time fail in the containerd image store.
    assert [name for name in services if "build" in services[name]] == ["topics"]


def test_the_image_has_what_the_commands_need() -> None:
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text("utf-8")
    copied = {
        source for line in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.M) for source in line.split()
    }
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert all((ROOT / source).exists() and f"!{source}" in ignored for source in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"]} < copied
    assert re.findall(r"^USER (.+)$", dockerfile, re.M) == ["microservo"]
    assert all(":" in image for image in re.findall(r"^FROM (\S+)", dockerfile, re.M))


class Containers:
    """The services of the compose file as plain processes of this machine."""

    def __init__(
        self, services: Mapping[str, Mapping[str, Any]], folder: Path, own: Mapping[str, str]
    ) -> None:
        self._services = services
        self._folder = folder
        self._own = own
        ports = free_ports(len(services))
        self._health_ports = {name: str(port) for name, port in zip(services, ports, strict=True)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str) -> int:
        """Runs one that ends by itself."""
        self.start(name)
        return self._running.pop(name).wait(START_S)

    def start(self, name: str, *more: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [*argv(self._services[name]["command"]), *more],
                cwd=self._folder,
                env=self._environment(name),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def health_port(self, name: str) -> str:
        return self._health_ports[name]

    def wait_healthy(self, name: str) -> None:
        def is_healthy() -> bool:
            self.assert_running(name)
            command = [sys.executable, "-I", str(HEALTHCHECK)]
            return subprocess.run(command, env=self._environment(name), check=False).returncode == 0

        eventually(is_healthy, timeout_s=START_S, interval_s=0.5, what=f"{name} to be healthy")

    def assert_running(self, name: str) -> None:
        assert self._running[name].poll() is None, self.log(name)

    def stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for name in reversed(list(self._running)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(name)

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8")

    def _environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MICROSERVO_")}
        given = self._services[name]["environment"]
        own = {**self._own, "MICROSERVO_HEALTH_PORT": self._health_ports[name]}
        own[LAUNCHER_URL] = f"http://127.0.0.1:{self._health_ports[LAUNCHER]}"
        return {**kept, **given, **{key: value for key, value in own.items() if key in given}}


def catalogue_in(folder: Path) -> str:
    return f"sqlite:///{folder}/catalogue.sqlite"


def argv(command: Sequence[str]) -> list[str]:
    program, *arguments = command
    start = {"python": [], "microservo": ["-c", "from microservo.cli import main; main()"]}[program]
    return [sys.executable, *start, *arguments]


@pytest.fixture
def otlp_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def balancer_folder() -> Iterator[Path]:
    with nginx_folder() as folder:
        yield folder


@pytest.fixture
def containers(
    tmp_path: Path,
    kafka_bootstrap_servers: str,
    topic_prefix: str,
    otlp_port: int,
    balancer_folder: Path,
) -> Iterator[Containers]:
    (tmp_path / "tiny.toml").write_text(TINY)
    services = compose(
        MICROSERVO_TOPOLOGY=str(tmp_path / "tiny.toml"),
        MICROSERVO_MANAGED_TOPOLOGY=str(tmp_path / "tiny.toml"),
        MICROSERVO_CONTROL_TOKEN="secret",
        MICROSERVO_TOPIC_PREFIX=topic_prefix,
        MICROSERVO_RUN_ID="tuesday",
        MICROSERVO_PARTITIONS="2",
    )
    own = {
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "MICROSERVO_OTLP_PORT": str(otlp_port),
        "MICROSERVO_OTLP_GRPC_PORT": "0",
        "MICROSERVO_TARGET_STATE": str(tmp_path / "state" / "target.json"),
        "MICROSERVO_ARCHIVE_DIR": str(tmp_path / "datasets"),
        "MICROSERVO_ALGORITHMS_FOLDER": str(tmp_path / "algorithms"),
        "MICROSERVO_ENVIRONMENTS": str(tmp_path / "environments"),
        "MICROSERVO_TASKS_FOLDER": str(tmp_path / "tasks"),
        URL_VARIABLE: catalogue_in(tmp_path),
        "MICROSERVO_REGISTRY_PORT": "0",
        "MICROSERVO_BALANCER_API_PORT": "0",
        "MICROSERVO_BALANCER_PORT": str(free_ports(1)[0]),
        "MICROSERVO_BALANCER_FOLDER": str(balancer_folder),
    }
    containers = Containers(services, tmp_path, own)
    try:
        yield containers
    finally:
        containers.stop_all()


@pytest.mark.integration
def test_the_commands_of_the_compose_file_make_a_run_and_its_dataset(
    containers: Containers, kafka_broker: KafkaBroker, topic_prefix: str, otlp_port: int, tmp_path: Path
) -> None:
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    assert containers.run("topics") == 0
    containers.start("target", "--otlp", f"http://127.0.0.1:{otlp_port}")
    assert containers.run("algorithms") == 0
    after_topics = ("streams", "effect-observer", "algorithm-runner", "evaluator", "archiver", "projector")
    for name in after_topics:
        containers.start(name)
    containers.wait_healthy("target")
    for name in BESIDE_TARGET:
        containers.start(name)
    for name in (*BESIDE_TARGET, *after_topics):
        containers.wait_healthy(name)

    client.faults.request("process-kill", service="back", duration="1s", parameters={}, fault_id="one")
    client.faults.wait("one", "recovered", timeout_s=START_S)
    with client.topics.subscribe("labelled-windows", start="earliest") as windows:

        def is_labelled() -> bool:
            received = windows.poll(0.5)
            window = received.record if received else None
            return isinstance(window, LabelledWindow) and window.service == "back" and bool(window.labels)

        eventually(is_labelled, timeout_s=START_S, what="a window that the fault lies in")

    for name in reversed(("target", *BESIDE_TARGET)):
        containers.stop(name)
    dataset = tmp_path / "datasets" / "tuesday"

    def is_archived() -> bool:
        containers.assert_running("archiver")
        return dataset.exists()

    eventually(is_archived, timeout_s=START_S, what="the archiver's dataset")
    assert verify(dataset) == []
    assert [(run.run_id, run.status) for run in client.runs.list()] == [("tuesday", "finished")]
    url = catalogue_in(tmp_path)
    with opened(url, reads_only=True) as engine:
        catalogue = Catalogue(kafka_broker, engine, url, topic_prefix)
        eventually(lambda: catalogue.runs() is not None, timeout_s=START_S, what="an up to date catalogue")
        assert tuple(catalogue.runs() or ()) == client.runs.list()
    assert containers.run("target") == 2
    assert "run 'tuesday' is over (finished)" in containers.log("target")


@pytest.mark.integration
def test_with_the_profile_manager_a_container_runs_on_a_host(
    containers: Containers, kafka_broker: KafkaBroker, topic_prefix: str, otlp_port: int, tmp_path: Path
) -> None:
    client = Client(broker=kafka_broker, topic_prefix=topic_prefix)
    assert containers.run("topics") == 0
    port = containers.health_port(LAUNCHER)
    more = ("--port", port, "--folder", str(tmp_path / "hosts"), "--otlp", f"http://127.0.0.1:{otlp_port}")
    containers.start(LAUNCHER, *more)
    containers.wait_healthy(LAUNCHER)
    others = [name for name in MANAGED if name != LAUNCHER]
    for name in others:
        containers.start(name)
    for name in others:
        containers.wait_healthy(name)
    manager = client.manager
    place = {"place": "edge", "latitude": 52.5, "longitude": 13.4}
    manager.create("host/berlin", **place, cores=4, memory_bytes=8e9, disk_bytes=1e11)
    manager.join("berlin")
    manager.seed(str(tmp_path / "tiny.toml"))
    manager.launch("back", near=(52.5, 13.4), finish_s=START_S)
    driver = RemoteDriver(f"http://127.0.0.1:{port}", "secret", managed_by="microservo")
    assert [(each.service, each.host, each.ready) for each in driver.containers()] == [
        ("back", "berlin", True)
    ]
    containers.stop("manager")
    assert list(driver.containers()) == [], "it stops what it manages"
