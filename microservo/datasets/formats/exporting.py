"""Exports a dataset: beside its place until all is written, so it is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from microservo.datasets.draft import draft, refuse_unusable, writing
from microservo.datasets.formats.format import Export, Progress
from microservo.datasets.formats.registry import format_named
from microservo.datasets.formats.source import Source
from microservo.domain.datasets.formats import Exported
from microservo.errors import InvalidInput


def export(folder: Path, *, format_name: str, out_dir: Path, progress: Progress) -> Exported:
    """Writes a dataset in another format; twice the same dataset gives twice the same bytes.

    Args:
        folder: the dataset.
        format_name: one of `microservo.domain.datasets.formats.FORMATS`.
        out_dir: folder to make; it must not hold anything.
        progress: called as (done, in all).

    Raises:
        InvalidInput: there is no such format, the folder holds no dataset or a damaged one, the format can't
            hold anything of it, or `out_dir` is taken.
        Unavailable: there is no room.
    """
    exporter = format_named(format_name)
    refuse_unusable(out_dir)
    source = Source(folder)
    if out_dir.resolve().is_relative_to(folder.resolve()):
        msg = (
            f"{out_dir} lies in the dataset {folder}, which nothing may be put into; give a folder elsewhere"
        )
        raise InvalidInput(msg)
    with draft(out_dir) as (place, scratch), writing(out_dir):
        out = Export(place, progress)
        exporter.export(source, out)
        losses = out.finish(exporter, source.manifest)
        files = [each for each in place.rglob("*") if each != scratch and each.is_file()]
        names = sorted(each.relative_to(place).as_posix() for each in files)
    return Exported(format_name=format_name, files=tuple(names), losses=losses)
