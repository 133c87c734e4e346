"""A filter of system calls (seccomp, classic BPF) for `bwrap --seccomp`.

It refuses with EPERM what no algorithm needs and what would go past a limit or towards the kernel: memory
that no process is charged for (memfd, System V IPC, message queues), looking into other processes, mounting
and new namespaces, the parts of the kernel that had the most defects (io_uring, BPF, userfaultfd, keys), and
sockets of families that a network namespace does not hold back, as those to a virtual machine's host are
(vsock(7)). Everything else is decided by the fence's other walls.
"""

from __future__ import annotations

import platform
import struct

_REFUSED: dict[str, tuple[int, int]] = {
    # name: number on x86-64, on AArch64 (Linux: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h)
    "add_key": (248, 217),
    "bpf": (321, 280),
    "fanotify_init": (300, 262),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_SOCKET = (41, 198)
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: all end in the fence's own network namespace."""

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By `platform.machine()`: column above and AUDIT_ARCH of linux/audit.h."""

# linux/bpf_common.h, linux/seccomp.h
_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL, _REFUSE_EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_X32_FROM = 0x40000000
"""x86-64 offers every call a second time from this number on."""


def refused_calls() -> tuple[str, ...]:
    """The names of the calls that `filter_program` refuses; none where it has none for this machine."""
    return tuple(_REFUSED) if platform.machine() in _MACHINES else ()


def filter_program() -> bytes | None:
    """The compiled filter for this machine's processor; None where we have no numbers for it."""
    if platform.machine() not in _MACHINES:
        return None
    column, architecture = _MACHINES[platform.machine()]
    numbers = [row[column] for row in _REFUSED.values()]
    families = len(_FAMILIES)
    # Counted from the line after the last of `numbers`.
    refuse, allow = families + 2, families + 3
    lines = [
        _line(_LOAD_WORD, _ARCHITECTURE_AT),
        _line(_JUMP_IF_EQUAL, architecture, if_true=1),
        _line(_RETURN, _KILL),
        _line(_LOAD_WORD, _NUMBER_AT),
        _line(_JUMP_IF_AT_LEAST, _X32_FROM, if_true=len(numbers) + refuse),
    ]
    for left, number in zip(reversed(range(len(numbers))), numbers, strict=True):
        lines.append(_line(_JUMP_IF_EQUAL, number, if_true=left + refuse))
    lines += [
        _line(_JUMP_IF_EQUAL, _SOCKET[column], if_false=allow - 1),
        _line(_LOAD_WORD, _FIRST_ARGUMENT_AT),
    ]
    for left, family in zip(reversed(range(families)), _FAMILIES, strict=True):
        lines.append(_line(_JUMP_IF_EQUAL, family, if_true=left + 1))
    return b"".join([*lines, _line(_RETURN, _REFUSE_EPERM), _line(_RETURN, _ALLOW)])


def _line(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`, with how many lines are skipped where its comparison holds, and where not."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
