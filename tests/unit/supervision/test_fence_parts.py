"""The parts of a fence that need no process."""

from __future__ import annotations

import os
import platform
import socket
import struct
from pathlib import Path

import pytest

from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.fence import Fence
from microservo.supervision.fence_filter import filter_program, refused_calls
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_log import BoundedLog
from microservo.supervision.fence_share import CpuShare
from microservo.supervision.fence_state import copy_out

EPERM, ALLOW, KILL = 0x00050001, 0x7FFF0000, 0x80000000
X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003


@pytest.mark.parametrize("name", ["cpus", "memory_bytes", "processes", "cpu_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_that_is_none_is_refused_with_its_name(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"the limit {name} is {value}; give a number above 0"):
        Limits(**{name: value})  # type: ignore[arg-type]  # what a file may hold


def test_half_a_processor_is_one_thread() -> None:
    assert [Limits(cpus=cpus).threads for cpus in (0.5, 1, 1.5)] == [1, 1, 2]


def test_the_log_keeps_the_newest_within_its_quota(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    log = BoundedLog(path, quota_bytes=1000, bytes_per_s=1e9)
    for number in range(1000):
        assert log.write(f"line {number:04}\n".encode(), now_s=float(number))
    log.close()
    assert log.total_bytes == 10_000
    kept = (tmp_path / "deep" / "log.1").read_bytes() + path.read_bytes()
    assert 500 <= len(kept) <= 1000
    assert kept.endswith(b"line 0998\nline 0999\n")


def test_one_piece_beyond_the_quota_is_cut_at_its_beginning(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", quota_bytes=100, bytes_per_s=1)
    assert not log.write(b"x" * 1000 + b"end", now_s=0)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 47 + b"end"


def test_what_is_written_slowly_is_never_too_much(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", quota_bytes=100, bytes_per_s=10)
    assert all(log.write(b"x" * 10, now_s=float(second)) for second in range(1000))
    assert log.write(b"x" * 90, now_s=1000.0)
    assert not log.write(b"x" * 11, now_s=1000.0)
    log.close()


def test_a_share_may_be_saved_up_for_a_second_and_is_paid_off() -> None:
    share = CpuShare(0.5, now_s=100)
    assert not share.is_exceeded(0.5, now_s=100)
    assert share.is_exceeded(1.0, now_s=100.1)
    assert share.is_exceeded(1.0, now_s=100.9)
    assert not share.is_exceeded(1.0, now_s=101.1)
    # An hour of nothing is worth one second.
    assert not share.is_exceeded(1.4, now_s=3700)
    assert share.is_exceeded(2.0, now_s=3700)


def test_one_processor_is_never_too_much_for_one_thread() -> None:
    share = CpuShare(1, now_s=0)
    assert not any(share.is_exceeded(beat / 10, now_s=beat / 10) for beat in range(10_000))


def decided(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
    """What a kernel makes of the filter (classic BPF, as far as ours uses it)."""
    lines = list(struct.iter_unpack("=HBBI", program))
    at, value = 0, 0
    while True:
        code, if_true, if_false, constant = lines[at]
        at += 1
        if code == 0x20:
            value = {0: number, 4: architecture, 16: argument}[constant]
        elif code == 0x15:
            at += if_true if value == constant else if_false
        elif code == 0x35:
            at += if_true if value >= constant else if_false
        else:
            assert code == 0x06
            return int(constant)


@pytest.mark.parametrize(
    ("machine", "architecture", "refused", "allowed"),
    [
        # memfd_create, ptrace, mount, userfaultfd; read, openat, clone, execve
        ("x86_64", X86_64, (319, 101, 165, 323, 0x40000000 + 319, 0x40000001), (0, 257, 56, 59)),
        ("aarch64", AARCH64, (279, 117, 40, 282), (63, 56, 220, 221)),
    ],
)
def test_the_filter_refuses_its_calls_and_kills_another_architectures(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    architecture: int,
    refused: tuple[int, ...],
    allowed: tuple[int, ...],
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = filter_program()
    assert program is not None
    assert {decided(program, architecture, number) for number in refused} == {EPERM}
    assert {decided(program, architecture, number) for number in allowed} == {ALLOW}
    assert decided(program, I386, 0) == KILL


@pytest.mark.parametrize(
    ("machine", "architecture", "number"), [("x86_64", X86_64, 41), ("aarch64", AARCH64, 198)]
)
def test_only_sockets_that_a_network_namespace_holds_are_allowed(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: int, number: int
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = filter_program()
    assert program is not None
    allowed = [family for family in range(64) if decided(program, architecture, number, family) == ALLOW]
    assert allowed == [socket.AF_UNIX, socket.AF_INET, 10, 16]


def test_a_processor_without_numbers_has_no_filter_and_does_not_claim_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert filter_program() is None
    assert refused_calls() == ()
    assert not any("system calls" in held for held in Fence(Path("bwrap")).holds(Limits()))


def copied(source: Path, target: Path, *, max_bytes: int = 1000, max_files: int = 100) -> tuple[str, ...]:
    folder = os.open(source, os.O_RDONLY)
    try:
        return copy_out(folder, target, max_bytes=max_bytes, max_files=max_files)
    finally:
        os.close(folder)


def test_files_and_folders_are_copied_and_nothing_else(tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    (state / "deep" / "deeper").mkdir(parents=True)
    (state / "deep" / "deeper" / "model").write_bytes(b"model")
    (state / "link").symlink_to("/etc/passwd")
    (state / "deep" / "up").symlink_to("..")
    os.mkfifo(state / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(state / "socket"))
    assert copied(state, target) == ("deep/up", "fifo", "link", "socket")
    assert [str(path.relative_to(target)) for path in sorted(target.rglob("*"))] == [
        "deep",
        "deep/deeper",
        "deep/deeper/model",
    ]
    assert (target / "deep" / "deeper" / "model").read_bytes() == b"model"


def test_what_others_must_read_is_readable_whatever_our_umask(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "model").touch()
    before = os.umask(0o077)
    try:
        copied(tmp_path / "state", tmp_path / "target")
    finally:
        os.umask(before)
    modes = [(tmp_path / "target" / name).stat().st_mode & 0o777 for name in ("", "model")]
    assert modes == [0o755, 0o644]


def test_a_file_with_holes_counts_as_it_reads_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "holes").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidInput, match="the state is larger than 1000 bytes at 'holes'"):
        copied(tmp_path / "state", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for number in range(4):
        (tmp_path / "state" / str(number)).touch()
    with pytest.raises(InvalidInput, match="the state has more than 3 files at '3'"):
        copied(tmp_path / "state", tmp_path / "target", max_files=3)


def test_a_folder_without_end_is_copied_to_a_bound(tmp_path: Path) -> None:
    deepest = tmp_path / "state" / "/".join("d" * 1 for _ in range(40))
    deepest.mkdir(parents=True)
    assert copied(tmp_path / "state", tmp_path / "target") == ("/".join("d" * 1 for _ in range(33)),)


def test_nothing_is_copied_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(InvalidInput, match="exists; give a folder that doesn't"):
        copied(tmp_path / "state", tmp_path)


def test_another_system_is_told_that_a_fence_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microservo.supervision.fence.sys.platform", "darwin")
    with pytest.raises(Unavailable, match="a fence needs Linux, and this is darwin; use a virtual machine"):
        Fence.find()
