import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from microservo import algorithms
from microservo.algorithms import Step, resolve
from microservo.algorithms.declaration import declaration_of, parse_bytes
from microservo.algorithms.kinds import kinds
from microservo.errors import InvalidInput

DETECTOR = """
raise SystemExit("a host must never run this")

class Mean:
    def score_one(self, x): ...
    def learn_one(self, x): ...
"""
RANKER = "def blame(data, inject_time, dataset=None): ...\n"


def test_a_stock_object_needs_no_code() -> None:
    plugin = resolve("river.anomaly:HalfSpaceTrees", {"params": {"n_trees": 5}, "requires": ["river"]})
    assert (plugin.source, plugin.code) == ("object", ())
    assert plugin.declaration.object == "river.anomaly:HalfSpaceTrees"
    assert plugin.declaration.params == {"n_trees": 5}


def test_a_file_is_looked_into_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DETECTOR)
    plugin = resolve(str(tmp_path / "mine.py"))
    assert plugin.declaration.object == "mine:Mean"
    assert plugin.code == (tmp_path / "mine.py",)


def test_the_task_is_seen_from_the_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RANKER)
    assert resolve(str(tmp_path / "mine.py")).declaration.task == "ranker"


def test_of_several_algorithms_in_a_file_one_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(DETECTOR + RANKER)
    with pytest.raises(InvalidInput, match=r"2 algorithms \(Mean, blame\).*mine\.py:NAME"):
        resolve(str(path))
    declaration = resolve(f"{path}:blame").declaration
    assert (declaration.object, declaration.task) == ("mine:blame", "ranker")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import helper", "imports helper, which lies beside it.*object = 'mine:NAME'"),
        ("from kit.parts import Base", "imports kit, which lies beside it"),
        ("from .helper import Base", r"imports from its own package.*object = 'PACKAGE\.mine:NAME'"),
    ],
)
def test_a_file_that_needs_others_is_refused_before_it_is_sent(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "helper.py").write_text("Base = object\n")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").write_text("")
    path = tmp_path / "mine.py"
    path.write_text(f"import math\nimport os.path\n{line}\n{DETECTOR}")
    with pytest.raises(InvalidInput, match=words):
        resolve(str(path))
    (tmp_path / "algorithm.toml").write_text("object = 'mine:Mean'\n")
    assert resolve(str(tmp_path)).code == (tmp_path,)


def test_a_declaration_beside_a_file_says_the_rest(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DETECTOR)
    (tmp_path / "mine.toml").write_text('signals = ["logs"]\nmemory = "1G"\n')
    declaration = resolve(str(tmp_path / "mine.py")).declaration
    assert (declaration.signals, declaration.memory_bytes) == (("logs",), 1 << 30)


def test_a_folder_and_its_archive_mean_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "__init__.py").write_text(DETECTOR)
    (folder / "algorithm.toml").write_text('object = "mine:Mean"\nparams = { scale = 2 }\n')
    with zipfile.ZipFile(tmp_path / "plugin.zip", "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(tmp_path))
    of_folder = resolve(str(folder), {"params": {"shift": 1}})
    of_archive = resolve(
        str(tmp_path / "plugin.zip"), {"params": {"shift": 1}}, unpack_to=tmp_path / "unpacked"
    )
    assert of_folder.declaration == of_archive.declaration
    assert of_folder.declaration.params == {"scale": 2, "shift": 1}
    assert of_folder.code == (folder,)
    assert of_archive.code == (tmp_path / "unpacked" / "plugin",)


def test_a_wheel_says_by_its_entry_point_what_it_is(tmp_path: Path) -> None:
    wheel = tmp_path / "mine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("mine/__init__.py", DETECTOR)
        file.writestr("mine-1.0.dist-info/METADATA", "Name: mine\n")
        file.writestr("mine-1.0.dist-info/entry_points.txt", "[microservo.algorithms]\nmean = mine:Mean\n")
    plugin = resolve(str(wheel), unpack_to=tmp_path / "out")
    assert plugin.declaration.object == "mine:Mean"
    assert plugin.code == (tmp_path / "out",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("n-sigmas", "no algorithm 'n-sigmas'.*n-sigma"),
        ("missing.py", "no algorithm 'missing.py'"),
        ("/nowhere/missing.py:Mean", "no algorithm"),
        ("river:1x", "expected module:name"),
    ],
)
def test_what_is_not_there_is_refused_with_what_could_be(spec: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        resolve(spec)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "without `object`"),
        ({"object": "a:b", "taks": "ranker"}, "unknown key 'taks'.*task"),
        ({"object": "a:b", "task": "oracle"}, "task 'oracle'; expected one of detector, ranker, classifier"),
        (
            {"object": "a:b", "signals": ["labels"]},
            "signals 'labels'; expected some of metrics, logs, traces",
        ),
        ({"object": "a:b", "signals": []}, "signals ''"),
        ({"object": "a:b", "signals": "logs"}, "expected a list"),
        ({"object": "a:b", "per": "run"}, "per 'run'"),
        ({"object": "a:b", "python": "2.7"}, "python '2.7'; expected 3.11"),
        ({"object": "a:b", "cpus": 0}, "cpus 0; expected a number above 0"),
        ({"object": "a:b", "cpus": True}, "cpus = True"),
        ({"object": "a:b", "memory": "much"}, "size 'much'"),
        ({"object": "a:b", "deadline": -1.0}, "deadline -1.0"),
        ({"object": "a:b", "deadline": float("nan")}, "deadline nan"),
        ({"object": "a:b", "seed": -1}, "seed -1"),
        ({"object": "a:b", "sign": 2}, "sign 2; expected 1, -1"),
        ({"object": "a:b", "batch": {"size": 1}}, "warm_up, refit, buffer"),
        ({"object": "a:b", "batch": {"refit": 0}}, "whole numbers of windows, above 0"),
        ({"object": "a:b", "threshold": float("inf")}, "threshold inf; expected a finite score"),
        ({"object": "a:b", "pre": [{"params": {}}]}, "pre has"),
        ({"object": "os.system"}, "expected module:name"),
    ],
)
def test_what_can_not_be_declared_is_refused_with_what_can(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        declaration_of(document)


def test_a_step_may_have_parameters() -> None:
    document = {"object": "a:b", "pre": ["c:D", {"object": "e:F", "params": {"g": 1}}]}
    assert declaration_of(document).pre == (Step(object="c:D"), Step(object="e:F", params={"g": 1}))


@pytest.mark.parametrize(("text", "size"), [(7, 7), ("512M", 512 << 20), ("1.5GiB", 3 << 29), ("2 kb", 2048)])
def test_sizes_are_written_as_people_do(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


def test_every_shipped_kind_says_what_it_is_and_when_it_fails() -> None:
    names = [kind.name for kind in kinds()]
    assert {"random", "always", "never", "constant", "n-sigma", "half-space-trees", "ecod", "baro"} < set(
        names
    )
    assert len(names) == len(set(names)) == 22
    for kind in kinds():
        declaration = kind.plugin.declaration
        assert declaration.title, kind.name
        assert declaration.what_it_is.endswith("."), kind.name
        assert declaration.when_it_fails.endswith("."), kind.name
        is_own = declaration.object.startswith("shipped.")
        uses_own = is_own or any(step.object.startswith("shipped.") for step in declaration.pre)
        assert uses_own == (kind.plugin.code != ()), kind.name
        assert is_own == (declaration.requires == ()), kind.name
        assert all("==" in each for each in declaration.requires), kind.name


def test_what_requires_nothing_loads_where_nothing_is_installed() -> None:
    objects = [kind.plugin.declaration.object for kind in kinds() if not kind.plugin.declaration.requires]
    modules = {each.partition(":")[0] for each in objects}
    folder = Path(algorithms.__file__).parent
    code = "\n".join(
        ("import sys", f"sys.path.insert(0, {str(folder)!r})", *(f"import {each}" for each in modules))
    )
    # Without any package, as in the environment that is made for it.
    subprocess.run((sys.executable, "-I", "-S", "-c", code), check=True, timeout=60)
