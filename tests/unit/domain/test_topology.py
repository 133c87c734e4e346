from __future__ import annotations

import re

import pytest

from microservo.domain.topology import Heap, Load, Noise, Topology
from microservo.domain.topology_file import load_topology
from microservo.errors import InvalidInput
from microservo.platforms.local.topology_files import read_topology, shipped_topologies, topology_path

SMALL = """
name = "small"
entry = "front"
[services.front.endpoints.Page]
cpu_ms = 1.5
calls = [{ service = "back", endpoint = "Get", share = 0.5, times = 2, timeout_ms = 100, retries = 1 }]
[services.back]
type = "database"
launch_order = 1
output_label = "back"
replicas = 2
max_active = 20
memory_mb = 8
[services.back.endpoints.Get]
cache = "things"
datastore = "store"
[services.store.endpoints.Get]
response_bytes = 10
[[journeys]]
name = "visit"
weight = 3
steps = [{ endpoint = "Page", think_ms = 5 }]
"""


def boutique() -> Topology:
    return read_topology("online-boutique")


def test_a_topology_has_what_its_file_says() -> None:
    topology = load_topology(SMALL, "small.toml")
    call = topology.services["front"].endpoints["Page"].calls[0]
    assert (call.service, call.share, call.times, call.timeout_ms, call.retries) == ("back", 0.5, 2, 100.0, 1)
    assert topology.services["back"].replicas == 2
    assert (topology.services["back"].max_active, topology.services["front"].max_active) == (20, 64)
    assert topology.journeys[0].steps[0].think_ms == 5.0
    front, back = topology.services["front"], topology.services["back"]
    assert (back.type, back.launch_order, back.output_label) == ("database", 1, "back")
    assert (front.type, front.launch_order, front.output_label) == ("backend", 0, "")


def test_the_datastore_of_a_cache_is_a_call_and_an_edge() -> None:
    topology = load_topology(SMALL, "small.toml")
    assert topology.edges() == (("back", "store"), ("front", "back"))
    assert topology.callees("back") == ("store",)
    assert topology.callers() == {"front": (), "back": ("front",), "store": ("back",)}


NOISY = """
name = "noisy"
entry = "front"
[noise]
error_share = 0.001
busy_share = 0.002
[heap]
garbage_kb = 10
[load]
amplitude = 0.5
[services.front]
noise = { error_share = 0.003 }
heap = { collect_mb = 4 }
warnings = ["cart of {key} is old"]
[services.front.endpoints.Home]
[services.front.endpoints.Pay]
noise = { error_share = 0.0, work_sigma = 0.5 }
[services.back.endpoints.Get]
"""


def test_noise_is_that_of_the_topology_where_service_and_endpoint_say_nothing_else() -> None:
    topology = load_topology(NOISY, "noisy.toml")
    front, back = topology.services["front"], topology.services["back"]
    assert front.endpoints["Home"].noise == Noise(error_share=0.003, busy_share=0.002)
    assert front.endpoints["Pay"].noise == Noise(error_share=0.0, busy_share=0.002, work_sigma=0.5)
    assert back.endpoints["Get"].noise == Noise(error_share=0.001, busy_share=0.002)
    assert front.heap == Heap(garbage_kb=10, collect_mb=4)
    assert back.heap == Heap(garbage_kb=10)
    assert (front.warnings, back.warnings) == (("cart of {key} is old",), ())
    assert topology.load == Load(amplitude=0.5)


def test_a_topology_that_says_nothing_of_noise_has_none() -> None:
    topology = load_topology(SMALL, "small.toml")
    assert topology.services["front"].endpoints["Page"].noise == Noise()
    assert (topology.services["front"].heap.garbage_kb, topology.load) == (0, Load())


def test_online_boutique_is_noisy_everywhere_but_modestly() -> None:
    for service in boutique().services.values():
        assert service.warnings
        assert service.heap.garbage_kb > 0
        for endpoint in service.endpoints.values():
            noise = endpoint.noise
            assert 0 < noise.error_share + noise.busy_share + noise.reset_share < 0.005
            assert 0 < noise.slow_share < 0.01
            assert 0 < noise.warning_share < 0.02


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ('entry = "front"', 'entry = "frnt"', "entry 'frnt' is not a service"),
        ('service = "back"', 'service = "bak"', "front.Page: calls unknown service 'bak'; choose one of"),
        ('endpoint = "Get"', 'endpoint = "Gt"', "back has no endpoint 'Gt'; choose one of ['Get']"),
        (
            "share = 0.5",
            "share = 1.5",
            "services.front.endpoints.Page.calls[0].share: expected less than or equal to 1, got 1.5",
        ),
        ("share = 0.5", "share = true", ".share: expected a valid number, got True"),
        ("share = 0.5", "share = nan", ".share: expected "),
        ("times = 2", "times = 2.5", ".times: expected a valid integer, got 2.5"),
        (
            "replicas = 2",
            "replicas = 0",
            "services.back.replicas: expected greater than or equal to 1, got 0",
        ),
        (
            "max_active = 20",
            "max_active = 0",
            "services.back.max_active: expected greater than or equal to 1",
        ),
        ("launch_order = 1", "launch_order = -1", "services.back.launch_order: expected greater than"),
        ('type = "database"', 'type = "db"', "services.back.type: expected"),
        ('output_label = "back"', 'output_label = "${back}"', "services.back.output_label: "),
        ("replicas = 2", "replcas = 2", "services.back.replcas: this is no known key"),
        ('datastore = "store"', "", "cache 'things' has nothing to read"),
        ("[services.store.", "[services.Store.", "services.Store"),
        (
            'steps = [{ endpoint = "Page", think_ms = 5 }]',
            "",
            "journeys[0].steps: expected a value, got none",
        ),
        ('{ endpoint = "Page", think_ms = 5 }', '{ endpoint = "Pge" }', "front has no endpoint 'Pge'"),
        ("cpu_ms = 1.5", "cpu_ms = ", "not a TOML document"),
        (
            "cpu_ms = 1.5",
            "noise = { error_share = 1.5 }",
            "services.front.endpoints.Page.noise.error_share: expected less than or equal to 1, got 1.5",
        ),
        (
            'name = "small"',
            'name = "small"\nload = { amplitude = 1.0 }',
            "load.amplitude: expected less than 1",
        ),
    ],
)
def test_a_mistake_is_refused_with_file_place_and_value(old: str, new: str, reported: str) -> None:
    assert old in SMALL
    with pytest.raises(InvalidInput, match=rf"^small\.toml: .*{re.escape(reported)}") as refusal:
        load_topology(SMALL.replace(old, new), "small.toml")
    assert "\n" not in str(refusal.value)


def test_calls_that_never_end_are_refused_with_their_path() -> None:
    loop = 'response_bytes = 10\ncalls = [{ service = "front", endpoint = "Page" }]'
    path = "front.Page -> back.Get -> store.Get -> front.Page never ends"
    with pytest.raises(InvalidInput, match=re.escape(path)):
        load_topology(SMALL.replace("response_bytes = 10", loop), "small.toml")


def test_online_boutique_has_its_eleven_services_and_their_call_graph() -> None:
    assert set(boutique().services) == {
        "adservice",
        "cartservice",
        "checkoutservice",
        "currencyservice",
        "emailservice",
        "frontend",
        "paymentservice",
        "productcatalogservice",
        "recommendationservice",
        "redis-cart",
        "shippingservice",
    }
    assert len(boutique().edges()) == 15
    assert boutique().callers()["redis-cart"] == ("cartservice",)
    assert boutique().callees("checkoutservice") == (
        "cartservice",
        "currencyservice",
        "emailservice",
        "paymentservice",
        "productcatalogservice",
        "shippingservice",
    )


def test_online_boutique_weighs_its_journeys_like_the_original() -> None:
    weights = {journey.name: journey.weight for journey in boutique().journeys}
    assert weights == {
        "index": 1,
        "setCurrency": 2,
        "browseProduct": 10,
        "addToCart": 2,
        "viewCart": 3,
        "checkout": 1,
    }


def test_every_service_of_online_boutique_is_reached_by_a_journey() -> None:
    topology = boutique()
    reached: set[str] = set()
    todo = [(topology.entry, step.endpoint) for journey in topology.journeys for step in journey.steps]
    while todo:
        service, endpoint = todo.pop()
        reached.add(service)
        calls = topology.services[service].endpoints[endpoint].all_calls()
        todo += [(call.service, call.endpoint) for call in calls]
    assert reached == set(topology.services)


def test_a_shipped_topology_is_found_by_name_and_by_path() -> None:
    assert "online-boutique" in shipped_topologies()
    assert read_topology(topology_path("online-boutique")) == boutique()


def test_an_unknown_topology_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"'online-boutiqe'; choose one of .*'online-boutique'"):
        read_topology("online-boutiqe")
    with pytest.raises(InvalidInput, match=r"nowhere\.toml can't be read"):
        read_topology("nowhere.toml")
