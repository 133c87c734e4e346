"""Recordings in archives: read like the folders in them, and refused where damaged or made to harm."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from foreign_recordings import rcaeval, staged

from microservo.errors import InvalidInput


def refusal(archive: Path) -> str:
    """Why an archive is refused; nothing of it may stay."""
    with pytest.raises(InvalidInput) as caught:
        staged(archive)
    assert "\n" not in str(caught.value)
    assert sorted(each.name for each in archive.parent.iterdir()) == [archive.name]
    return str(caught.value)


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize("kind", ["zip", "gztar", "bztar", "xztar", "tar"])
def test_an_archive_is_read_like_the_folder_in_it_and_leaves_nothing_unpacked(
    kind: str, tmp_path: Path
) -> None:
    rcaeval(tmp_path / "set")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "set"))
    assert staged(archive) == staged(tmp_path / "set")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["minutes", archive.name, "set"])


@pytest.mark.parametrize(
    ("odd", "data", "words"),
    [
        (member("../out.csv"), b"x", "outside"),
        (member("case/logs.csv", tarfile.SYMTYPE, "/etc/passwd"), b"", "absolute"),
        (member("case/logs.csv", tarfile.SYMTYPE, "../../secret"), b"", "outside"),
        (member("case/logs.csv", tarfile.LNKTYPE, "../../secret"), b"", "outside"),
        (member("case/pipe", tarfile.FIFOTYPE), b"", "special file"),
        (member("zeros.csv"), bytes(8 << 20), "more than 200000 files or"),
    ],
)
def test_a_tar_that_leads_out_or_explodes_is_refused_and_nothing_of_it_stays(
    odd: tarfile.TarInfo, data: bytes, words: str, tmp_path: Path
) -> None:
    assert words in refusal(tar_of(tmp_path / "place" / "set.tar.gz", (odd, data)))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_a_gigabyte_is_refused_before_it_is_in_memory(kind: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "place" / "set.tar.gz"
    archive.parent.mkdir()
    header = member("././@LongLink", kind)
    header.size = 1 << 30
    with gzip.open(archive, "wb", compresslevel=1) as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            packed.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        said = refusal(archive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "a header of 1073741824 bytes" in said
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", ["gztar", "bztar", "xztar", "tar", "zip"])
def test_an_archive_that_was_cut_anywhere_or_damaged_is_refused(kind: str, tmp_path: Path) -> None:
    rcaeval(tmp_path / "set")
    archive = Path(shutil.make_archive(str(tmp_path / "place" / "packed"), kind, tmp_path / "set"))
    whole = archive.read_bytes()
    for cut in (len(whole) // 2, len(whole) - (tarfile.RECORDSIZE if kind == "tar" else 10)):
        archive.write_bytes(whole[:cut])
        assert "can't be unpacked" in (said := refusal(archive)) or "is no zip and no tar" in said, cut
    middle = len(whole) // 2
    archive.write_bytes(
        whole[:middle] + bytes(each ^ 255 for each in whole[middle : middle + 64]) + whole[middle + 64 :]
    )
    if kind != "tar":
        # One that is not packed has checks of its headers alone: what is wrong in files shows in their rows.
        refusal(archive)


def test_a_zip_of_zeros_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "place" / "set.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros.csv", bytes(32 << 20))
    assert "unpacks to more than 200 times its size" in refusal(archive)


def test_of_a_file_that_is_no_archive_the_folder_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "place" / "traces.jsonl"
    file.parent.mkdir()
    file.write_text("{}\n")
    assert "is no zip and no tar" in (said := refusal(file))
    assert "of a single file name the folder" in said
