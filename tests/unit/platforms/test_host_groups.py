"""Which control groups a launcher finds, and what it writes there: over folders that act as the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservo.platforms.local.host_groups import HostGroups, host_groups

VERSION_2, VERSION_1 = "cgroup v2", "cgroup v1"


class Kernel:
    """Folders in which a new one has its files at once, as the kernel's have.

    Args:
        folder: that stands for /sys/fs/cgroup.
        monkeypatch: of the test.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mounted = folder / "cgroup"
        self.own = folder / "own"
        self.files: dict[Path, tuple[str, ...]] = {}
        """Files of what is made in a folder and below, whatever its parent hands on."""
        make, remove = Path.mkdir, Path.rmdir

        def mkdir(path: Path, *arguments: object, **named: object) -> None:
            make(path, *arguments, **named)  # type: ignore[arg-type]
            for file in self._files_of(path):
                (path / file).write_text("")

        def rmdir(path: Path) -> None:
            for file in self._files_of(path):
                (path / file).unlink(missing_ok=True)
            remove(path)

        self.mounted.mkdir()
        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(Path, "rmdir", rmdir)

    def version_2(self, own: str = "/", *, hands_on: bool = True) -> None:
        self.own.write_text(f"0::{own}\n")
        (self.mounted / "cgroup.controllers").write_text("cpu memory")
        files = ("cgroup.subtree_control", "cgroup.procs", *(("cpu.max", "memory.max") if hands_on else ()))
        self.files[self.mounted] = files
        (self.mounted / own.strip("/")).mkdir(parents=True, exist_ok=True)

    def version_1(self) -> None:
        self.own.write_text("5:memory:/system/me\n2:cpu,cpuacct:/\n1:name=systemd:/\n")
        cpu, memory = self.mounted / "cpu,cpuacct", self.mounted / "memory"
        self.files[cpu] = ("cgroup.procs", "cpu.cfs_quota_us", "cpu.cfs_period_us")
        self.files[memory] = ("cgroup.procs", "memory.limit_in_bytes")
        cpu.mkdir()
        (memory / "system" / "me").mkdir(parents=True)

    def groups(self) -> HostGroups:
        return host_groups(Path("/launcher"), mounted=self.mounted, own=self.own)

    def found(self, file: str) -> dict[str, str]:
        """What stands in all files of a name, by the folder they are in."""
        return {str(each.parent.relative_to(self.mounted)): each.read_text() for each in self._all(file)}

    def _all(self, file: str) -> list[Path]:
        return [each for each in sorted(self.mounted.rglob(file)) if each.read_text()]

    def _files_of(self, path: Path) -> tuple[str, ...]:
        return next((files for root, files in self.files.items() if path.is_relative_to(root)), ())


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


def test_a_host_is_held_to_its_processors_and_memory_by_version_2(kernel: Kernel) -> None:
    kernel.version_2()
    with kernel.groups() as groups:
        assert (groups.enforced, groups.why_not) == (VERSION_2, "")
        groups.begin("berlin", cpus=1.5, memory_bytes=2**30)
        groups.add("berlin", 4711)
        ((where, quota),) = kernel.found("cpu.max").items()
        assert where.startswith("microservo-")
        assert quota == "150000 100000"
        assert kernel.found("memory.max") == {where: str(2**30)}
        assert kernel.found("cgroup.procs") == {where: "4711"}
        assert list(kernel.found("cgroup.subtree_control").values()) == ["+cpu +memory"]
        groups.end("berlin")
        assert kernel.found("cpu.max") == {}
    assert not list(kernel.mounted.glob("microservo-*"))


def test_a_launcher_in_a_group_of_its_own_makes_those_of_hosts_beneath_it(kernel: Kernel) -> None:
    kernel.version_2("/user.slice/me")
    with kernel.groups() as groups:
        groups.begin("berlin", cpus=1.0, memory_bytes=1)
        (where,) = kernel.found("cpu.max")
        assert where.startswith("user.slice/me/microservo-")


def test_a_host_is_held_to_its_processors_and_memory_by_the_two_hierarchies_of_version_1(
    kernel: Kernel,
) -> None:
    kernel.version_1()
    with kernel.groups() as groups:
        assert groups.enforced == VERSION_1
        groups.begin("berlin", cpus=0.25, memory_bytes=2**20)
        groups.add("berlin", 4711)
        ((cpu, quota),) = kernel.found("cpu.cfs_quota_us").items()
        ((memory, limit),) = kernel.found("memory.limit_in_bytes").items()
        assert (quota, limit) == ("25000", str(2**20))
        assert cpu.startswith("cpu,cpuacct/microservo-")
        assert memory.startswith("memory/system/me/microservo-")
        assert kernel.found("cgroup.procs") == {cpu: "4711", memory: "4711"}


def test_where_version_2_hands_no_processor_on_nothing_is_enforced_and_nothing_is_left(
    kernel: Kernel,
) -> None:
    kernel.version_2(hands_on=False)
    groups = kernel.groups()
    assert groups.enforced == "accounted"
    assert "no control group for processor and memory can be made" in groups.why_not
    assert not list(kernel.mounted.glob("microservo-*"))
    groups.begin("berlin", cpus=1.0, memory_bytes=1)
    groups.add("berlin", 4711)
    groups.end("berlin")


def test_where_there_are_no_control_groups_that_is_said(tmp_path: Path) -> None:
    groups = host_groups(tmp_path, mounted=tmp_path, own=tmp_path / "missing")
    assert groups.enforced == "accounted"
    assert "there are no control groups here" in groups.why_not


def test_what_a_launcher_that_was_killed_has_left_is_removed_by_the_next_one(kernel: Kernel) -> None:
    kernel.version_2()
    kernel.groups().begin("berlin", cpus=1.0, memory_bytes=1)
    with kernel.groups():
        assert kernel.found("cpu.max") == {}
