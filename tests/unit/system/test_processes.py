from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from microservo.application.catalogue_database import URL_VARIABLE, opened
from microservo.catalogue.database import migrate
from microservo.errors import InvalidInput
from microservo.sources.declared import source_named
from microservo.system.claim import claimed
from microservo.system.logs import fresh_logs
from microservo.system.options import ClusterOptions, SystemOptions
from microservo.system.processes import HEALTH_NAMES, PROJECTOR, Pipeline
from services.algorithm_runner.settings import AlgorithmRunnerSettings
from services.effect_observer.settings import EffectObserverSettings
from services.evaluator.settings import EvaluatorSettings
from services.fault_injector.settings import FaultInjectorSettings
from services.projector.settings import ProjectorSettings
from services.telemetry_collector.settings import Settings as CollectorSettings
from streams.settings import StreamsSettings


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "a home? 100%"))
    monkeypatch.delenv(URL_VARIABLE, raising=False)


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(
        options=SystemOptions(
            name="lab",
            seed=11,
            topic_prefix="lab-",
            delays_us={"jshop": 5_500_000},
            sources=(source_named("prometheus=http://127.0.0.1:9090"),),
        ),
        bootstrap_servers="127.0.0.1:7",
        run_id="run-1",
        otlp_port=4444,
        otlp_grpc_port=4445,
        control_port=4446,
        health_ports={
            name: 5000 + number for number, name in enumerate((*HEALTH_NAMES, "source-prometheus", PROJECTOR))
        },
    )


def test_each_service_reads_its_own_settings(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [
        (pipeline.collector("token"), CollectorSettings),
        *((spec, CollectorSettings) for spec in pipeline.sources()),
        (pipeline.streams(), StreamsSettings),
        (pipeline.observer(), EffectObserverSettings),
        (pipeline.runner(), AlgorithmRunnerSettings),
        (pipeline.evaluator(), EvaluatorSettings),
        (pipeline.injector(), FaultInjectorSettings),
        (pipeline.projector(), ProjectorSettings),
    ]
    for spec, settings_class in cases:
        with monkeypatch.context() as patch:
            for name, value in spec.env.items():
                patch.setenv(name, value)
            settings = settings_class()
        assert settings.kafka.bootstrap_servers == "127.0.0.1:7"
        assert (settings.run_id, settings.topic_prefix) == ("run-1", "lab-")
        assert settings.health_port == pipeline.health_ports[spec.name]


def test_the_catalogue_is_in_the_systems_folder(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    url = pipeline.own_catalogue_url()
    for name, value in pipeline.projector().env.items():
        monkeypatch.setenv(name, value)
    settings = ProjectorSettings()
    assert settings.catalogue_url.get_secret_value() == url
    assert settings.catalogue_replaced, "nothing is in it that is not on the topics"
    with opened(url) as engine:
        migrate(engine)
    assert pipeline.folders.catalogue.is_file()


def test_a_catalogue_that_the_environment_names_is_kept_there_and_written_down_nowhere(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql://owner:Open-Sesame@db/catalogue")
    assert pipeline.own_catalogue_url() == ""
    for name, value in pipeline.projector().env.items():
        monkeypatch.setenv(name, value)
    settings = ProjectorSettings()
    assert settings.catalogue_url.get_secret_value().endswith("@db/catalogue")
    assert not settings.catalogue_replaced, "others may keep theirs there"


def test_without_a_projector_no_catalogue_is_named(pipeline: Pipeline) -> None:
    without = {name: port for name, port in pipeline.health_ports.items() if name != PROJECTOR}
    assert replace(pipeline, health_ports=without).own_catalogue_url() == ""


def test_the_streams_cut_windows_as_the_run_says(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pipeline.streams().env.items():
        monkeypatch.setenv(name, value)
    assert StreamsSettings().policy() == pipeline.options.policy


def test_the_parts_that_touch_the_target_find_its_state(pipeline: Pipeline) -> None:
    state = str(pipeline.folders.target_state)
    assert pipeline.collector("token").env["MICROSERVO_TARGET_STATE"] == state
    assert pipeline.injector().env["MICROSERVO_TARGET_STATE"] == state
    assert pipeline.collector("token").env["MICROSERVO_OTLP_PORT"] == "4444"
    assert pipeline.collector("token").env["MICROSERVO_OTLP_GRPC_PORT"] == "4445"


def test_the_collector_of_a_target_without_a_token_has_no_control_api(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token, port in (("", None), ("token", 4446)):
        with monkeypatch.context() as patch:
            for name, value in pipeline.collector(token).env.items():
                patch.setenv(name, value)
            assert CollectorSettings().control_port == port


def test_only_the_parts_that_touch_a_cluster_get_the_way_to_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"KUBECONFIG": "/home/me/config", "AWS_PROFILE": "shop", "no_proxy": "10.0.0.1"}
    for name, value in way.items():
        monkeypatch.setenv(name, value)
    options = replace(pipeline.options, cluster=ClusterOptions(namespaces=("shop",)))
    in_cluster = replace(pipeline, options=options)
    for spec in (in_cluster.collector(""), in_cluster.injector()):
        assert way.items() <= spec.env.items()
    for spec in (
        pipeline.collector("token"),
        pipeline.injector(),
        in_cluster.streams(),
        in_cluster.observer(),
    ):
        assert not way.keys() & spec.env.keys()


def test_the_collector_knows_the_cuts_and_the_delays_that_were_declared(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in pipeline.collector("token").env.items():
        monkeypatch.setenv(name, value)
    settings, policy = CollectorSettings(), pipeline.options.policy
    assert (settings.first_cut_s, settings.final_cut_s) == (
        policy.first_cut_us / 1e6,
        policy.final_cut_us / 1e6,
    )
    assert settings.delays_s == {"jshop": 5.5}


def test_a_declared_source_is_read_by_a_collector_of_its_own(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spec,) = pipeline.sources()
    for name, value in spec.env.items():
        monkeypatch.setenv(name, value)
    assert CollectorSettings().source == pipeline.folders.source("prometheus")


def test_processes_have_names_and_logs_of_their_own(pipeline: Pipeline) -> None:
    specs = [
        pipeline.collector("token"),
        pipeline.streams(),
        pipeline.observer(),
        pipeline.runner(),
        pipeline.evaluator(),
        pipeline.injector(),
    ]
    assert sorted(spec.name for spec in specs) == sorted(HEALTH_NAMES)
    assert len({spec.log for spec in specs}) == len(specs)


def test_the_logs_of_the_last_start_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for number in range(3):
        with fresh_logs(folder):
            logging.getLogger("microservo.x").warning("start %d", number)
    assert json.loads((folder / "system.log").read_text("utf-8"))["message"] == "start 2"
    assert "start 1" in (tmp_path / "logs.previous" / "system.log").read_text("utf-8")


def test_a_name_is_claimed_by_one_at_a_time() -> None:
    with claimed("lab"), claimed("other"), pytest.raises(InvalidInput, match="--name other"), claimed("lab"):
        pass
    with claimed("lab"):
        pass
