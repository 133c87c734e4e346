"""Environments for fenced programs, built by the real pip from wheels that the test has made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import make_source_archive, make_wheel

from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.environments import Environment, EnvironmentCache
from microservo.supervision.fence import Fence
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PREPARE = """
import sys
from pathlib import Path
from microservo.supervision.environments import EnvironmentCache
root, log, *requires = sys.argv[1:]
with EnvironmentCache(Path(root)).prepare(requires, log=Path(log), deadline_s=60) as made:
    print(made.sha256, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that pip takes packages from."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, index: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path / "environments")


def prepared(cache: EnvironmentCache, tmp_path: Path, *requires: str, **rest: object) -> Environment:
    options: dict[str, object] = {"log": tmp_path / "build.log", "deadline_s": 60, **rest}
    return cache.prepare(requires, **options)  # type: ignore[arg-type]  # tests


def said_in_fence(environment: Environment, tmp_path: Path, code: str) -> str:
    log = tmp_path / "run.log"
    argv = (str(environment.python), "-I", "-c", code)
    with Fence.find().start(argv, folders=environment.folders, log=log) as process:
        said = process.stdout.read().decode()
        assert process.wait(20).exit_code == 0, log.read_text()
    return said


def test_what_is_required_and_uploaded_runs_in_a_fence(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    make_wheel(index, "helper", "2.5")
    upload = make_wheel(tmp_path, "upload", needs="helper>=2")
    with prepared(cache, tmp_path, packages=[upload]) as made:
        said = said_in_fence(made, tmp_path, "import helper, upload; print(helper.VERSION, upload.VERSION)")
    assert said == "2.5 1.0\n"


def test_the_same_requirements_are_built_once(cache: EnvironmentCache, index: Path, tmp_path: Path) -> None:
    make_wheel(index, "one")
    make_wheel(index, "two")
    with prepared(cache, tmp_path, "one==1.0", "two") as first:
        said = (tmp_path / "build.log").read_text()
        with prepared(cache, tmp_path, "two", "one ==1.0") as second:
            assert second.sha256 == first.sha256
            assert second.size_bytes == first.size_bytes > 0
    assert (tmp_path / "build.log").read_text() == said


def test_another_content_under_the_same_name_is_another_environment(
    cache: EnvironmentCache, tmp_path: Path
) -> None:
    upload = make_wheel(tmp_path, "upload")
    with prepared(cache, tmp_path, packages=[upload]) as first:
        make_wheel(tmp_path, "upload", more__py="")
        with prepared(cache, tmp_path, packages=[upload]) as second:
            assert second.sha256 != first.sha256


def test_a_requirement_that_nobody_has_is_named_with_what_pip_says(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=r"No matching distribution found for nobody-has-this==9"):
        prepared(cache, tmp_path, "nobody-has-this==9")
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]


def test_code_of_a_package_does_not_run_on_the_machine(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    command = f"open({str(ran)!r}, 'w')"
    make_source_archive(index, "source", command)
    make_wheel(index, "wheel", wheel__pth=f"import builtins; builtins.{command}\n")
    with pytest.raises(Unavailable, match="No matching distribution found for source"):
        prepared(cache, tmp_path, "source")
    with prepared(cache, tmp_path, "wheel"):
        assert not ran.exists()


@pytest.mark.parametrize(
    ("requirement", "says"),
    [
        ("--index-url=x", "is no requirement"),
        ("-r other.txt", "is no requirement"),
        ("x @ file:///tmp/x.tar.gz", "names a place"),
        ("", "is no requirement"),
    ],
)
def test_only_names_and_versions_can_be_required(
    cache: EnvironmentCache, tmp_path: Path, requirement: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        prepared(cache, tmp_path, requirement)


def test_a_folder_is_not_built_unless_that_is_allowed(cache: EnvironmentCache, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no wheel, and to build it would run its code"):
        prepared(cache, tmp_path, packages=[tmp_path])


def test_a_python_that_is_not_there_is_named(cache: EnvironmentCache, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"there is no python3\.99 here"):
        prepared(cache, tmp_path, python="3.99")


def test_a_build_that_takes_too_long_leaves_nothing(cache: EnvironmentCache, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="was not built in time"):
        prepared(cache, tmp_path, deadline_s=0.02)
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]


def start_builder(tmp_path: Path, log: str, *requires: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PREPARE, str(tmp_path / "environments"), str(tmp_path / log), *requires]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_build_that_was_killed_is_not_taken_for_good(
    cache: EnvironmentCache, index: Path, tmp_path: Path
) -> None:
    make_wheel(index, "one")
    with start_builder(tmp_path, "killed.log", "one") as builder:
        eventually(lambda: list((tmp_path / "environments").glob("*/pyvenv.cfg")))
        builder.send_signal(signal.SIGKILL)
    assert not list((tmp_path / "environments").glob("*/environment.json"))
    with prepared(cache, tmp_path, "one") as made:
        assert said_in_fence(made, tmp_path, "import one; print(one.VERSION)") == "1.0\n"


def test_two_builders_of_the_same_build_it_once(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "one")
    with start_builder(tmp_path, "a.log", "one") as a, start_builder(tmp_path, "b.log", "one") as b:
        outputs = [builder.communicate("")[0] for builder in (a, b)]
    assert outputs[0] == outputs[1] != ""
    assert sum((tmp_path / name).exists() for name in ("a.log", "b.log")) == 1


def test_beyond_the_size_the_least_recently_used_goes_unless_it_is_in_use(
    index: Path, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        make_wheel(index, name)
    with prepared(EnvironmentCache(tmp_path / "environments"), tmp_path, "one") as one:
        small = EnvironmentCache(tmp_path / "environments", max_bytes=int(one.size_bytes * 1.5))
        with prepared(small, tmp_path, "two") as two:
            assert one.python.exists()
        two_folder = two.python.parents[1]
        with prepared(small, tmp_path, "three") as three:
            assert one.python.exists()
            assert not two_folder.exists()
            assert three.python.exists()


def test_an_environment_beyond_the_size_of_all_is_refused(index: Path, tmp_path: Path) -> None:
    small = EnvironmentCache(tmp_path / "environments", max_bytes=1000)
    with pytest.raises(Unavailable, match=r"takes \d+ bytes, and all together may take 1000"):
        prepared(small, tmp_path)
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]
