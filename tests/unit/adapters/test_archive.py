import stat
import struct
import zipfile
from pathlib import Path

import pytest

from microservo.adapters.archive import Bounds, unpack
from microservo.errors import InvalidInput


def archive(folder: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = folder / "plugin.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def test_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path, ("mine/", b""), ("mine/detector.py", b"x = 1\n"), ("algorithm.toml", b""))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "mine" / "detector.py").read_bytes() == b"x = 1\n"
    assert stat.S_IMODE((tmp_path / "out" / "algorithm.toml").stat().st_mode) & 0o111 == 0


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("../evil.py", b"x")], "leads out"),
        ([("/etc/evil.py", b"x")], "leads out"),
        ([("a/../../evil.py", b"x")], "leads out"),
        ([("C:evil.py", b"x")], "other systems"),
        ([("..\\evil.py", b"x")], "other systems"),
        ([(special("link.py", stat.S_IFLNK), b"/etc/passwd")], "link or a device"),
        ([(special("device", stat.S_IFBLK), b"")], "link or a device"),
        ([(special("pipe", stat.S_IFIFO), b"")], "link or a device"),
        ([("a.py", b"x"), ("A.py", b"y")], "twice"),
        ([("bomb", b"\0" * 10_000_000)], "more than 100 times"),
        ([("/".join("d" * 40), b"x")], "deeper than 32"),
        ([(f"{index}.py", b"") for index in range(11)], "has 11 files; expected at most 10"),
        ([("a", bytes(range(256)) * 10_000)], "unpacks to 2560000 bytes"),
    ],
)
def test_what_could_do_harm_is_refused_and_nothing_is_left(
    tmp_path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], words: str
) -> None:
    bounds = Bounds(files=10, file_bytes=20_000_000 if "unpacks" not in words else 1_000_000)
    with pytest.raises(InvalidInput, match=words):
        unpack(archive(tmp_path, *members), tmp_path / "out", bounds)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plugin.zip"]


def test_a_file_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, ("a.py", b"x" * 1000))
    data = path.read_bytes()
    # The uncompressed size stands in the central directory 24 bytes behind its signature.
    place = data.index(b"PK\x01\x02") + 24
    path.write_bytes(data[:place] + struct.pack("<I", 10) + data[place + 4 :])
    with pytest.raises(InvalidInput, match=r"a\.py|can't be unpacked"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plugin.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(InvalidInput, match="expected a zip or wheel"):
        unpack(path, tmp_path / "out")
