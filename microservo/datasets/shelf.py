"""A folder of datasets: which are there, which are being built, and what people said of them.

::

    NAME/                  a dataset; there whole or not at all
    .builds/NAME.json      how far its building is, or why there is none
    .builds/NAME.log       what the process wrote that built it in the background
    .notes.json            descriptions and tags
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from microservo.adapters.files import write_whole
from microservo.datasets.contents import Contents, contents_of, is_dataset
from microservo.datasets.draft import writing
from microservo.datasets.statistics import statistics_of
from microservo.domain.datasets.shelf import (
    Build,
    BuildState,
    DatasetEntry,
    Notes,
    Statistics,
    Tag,
    check_name,
)
from microservo.errors import InvalidInput

_BUILDS, _NOTES = ".builds", ".notes.json"
_SAME_S = 1.0
"""Within so many seconds of the same start, a process of a number is the same one."""
_WAIT_S = 10.0
_BUILD, _NOTE = TypeAdapter(Build), TypeAdapter(Notes)


class Shelf:
    """The datasets in a folder.

    Args:
        folder: where they are; made when something is put there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str) -> Path:
        """The folder of a dataset by its name, by a tag, or by a path.

        Raises:
            InvalidInput: there is none, or a tag is of another content than is there now.
        """
        for place in (self.folder / name, Path(name)):
            if is_dataset(place):
                return place
        tag = self.notes().tags.get(name)
        if tag is None:
            return self._missing(name)
        place = self.folder / tag.name
        if contents_of(place).content_hash != tag.content_hash:
            msg = f"tag {name!r} is of content {tag.content_hash[:12]}, which {tag.name!r} holds no longer"
            raise InvalidInput(msg)
        return place

    def statistics(self, name: str) -> Statistics:
        """A dataset in numbers, with what people said of it.

        Raises:
            InvalidInput: there is no such dataset, or it is damaged.
        """
        found, notes = statistics_of(self.find(name)), self.notes()
        tags = sorted(
            text
            for text, tag in notes.tags.items()
            if tag == Tag(name=found.name, content_hash=found.content_hash)
        )
        return replace(found, description=notes.descriptions.get(found.name, ""), tags=tuple(tags))

    def entries(self) -> list[DatasetEntry]:
        """All of them by name, also those whose building did not end; nothing partial is finished."""
        notes, found = self.notes(), {}
        for build in self.builds():
            if build.state != "finished":
                share = build.done / build.total if build.total else 0.0
                found[build.name] = DatasetEntry(
                    name=build.name,
                    state=build.state,
                    run_ids=build.request.run_ids,
                    started_at_us=build.began_us,
                    problem=build.error,
                    progress=share,
                )
        for place in self._places():
            found[place.name] = _entry(place)
        tags: dict[str, list[str]] = {}
        for text, tag in notes.tags.items():
            if tag.name in found and found[tag.name].content_hash == tag.content_hash:
                tags.setdefault(tag.name, []).append(text)
        return [
            replace(
                found[name],
                description=notes.descriptions.get(name, ""),
                tags=tuple(sorted(tags.get(name, ()))),
            )
            for name in sorted(found)
        ]

    def builds(self) -> list[Build]:
        """What is known of buildings, by name."""
        paths = sorted((self.folder / _BUILDS).glob("*.json"))
        return [build for path in paths if (build := self.build(path.stem)) is not None]

    def build(self, name: str) -> Build | None:
        """How far the building of a dataset is; None where nobody began one.

        Raises:
            InvalidInput: its file can't be read.
        """
        path = self.build_file(name)
        try:
            build = _BUILD.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            msg = f"{path} can't be read; delete it, and build {name!r} again"
            raise InvalidInput(msg) from error
        is_gone = build.state == "running" and not _runs(build)
        return replace(build, state="interrupted") if is_gone else build

    def build_file(self, name: str, ending: str = "json") -> Path:
        """The file about the building of a dataset."""
        return self.folder / _BUILDS / f"{check_name(name)}.{ending}"

    def write_build(self, build: Build) -> None:
        """Writes how far a building is, in one step.

        Raises:
            Unavailable: it can't be written.
        """
        with writing(self.folder):
            write_whole(self.build_file(build.name), _BUILD.dump_json(build, indent=2))

    @contextlib.contextmanager
    def building(self, name: str, wait_s: float = 0.0) -> Iterator[Path]:
        """Claims a name, removes what a killed building of it left, and gives the folder to make.

        Args:
            name: of the dataset.
            wait_s: how long it is waited for another process that has claimed it.

        Raises:
            InvalidInput: there is a dataset of the name, or another process builds it.
            Unavailable: the place can't be written to.
        """
        out_dir = self.folder / check_name(name)
        with writing(self.folder):
            (self.folder / _BUILDS).mkdir(parents=True, exist_ok=True)
        with self._locked(f"{name}.lock", wait_s, f"{name!r} is being built by another process; wait for it"):
            if is_dataset(out_dir):
                msg = f"there is a dataset {name!r} in {self.folder}; give another name, or delete it first"
                raise InvalidInput(msg)
            for left in self.folder.iterdir():
                if left.name.startswith(f".{name}.partial-"):
                    shutil.rmtree(left, ignore_errors=True)
            yield out_dir

    def notes(self) -> Notes:
        """Descriptions and tags.

        Raises:
            InvalidInput: the file can't be read.
        """
        path = self.folder / _NOTES
        try:
            return _NOTE.validate_json(path.read_bytes())
        except FileNotFoundError:
            return Notes()
        except (OSError, ValidationError) as error:
            msg = f"{path} can't be read; mend it or delete it: it holds descriptions and tags"
            raise InvalidInput(msg) from error

    def describe(self, name: str, text: str) -> None:
        """Says what a dataset is.

        Raises:
            InvalidInput: there is no such dataset in the folder.
            Unavailable: it can't be written.
        """
        self._own(name)
        with self._noting() as notes:
            descriptions = {**notes.descriptions, name: text}
            self._write_notes(replace(notes, descriptions=descriptions))

    def tag(self, name: str, text: str) -> Tag:
        """Gives a dataset, as it is, a name; a tag that is of another content stays as it is.

        Raises:
            InvalidInput: there is no such dataset in the folder, or the tag is taken.
            Unavailable: it can't be written.
        """
        tag = Tag(name=name, content_hash=self._own(name).content_hash)
        check_name(text)
        with self._noting() as notes:
            known = notes.tags.get(text)
            if known not in (None, tag) or is_dataset(self.folder / text):
                msg = f"{text!r} is of {known.name if known else 'a dataset'} already; give another tag"
                raise InvalidInput(msg)
            self._write_notes(replace(notes, tags={**notes.tags, text: tag}))
        return tag

    def delete(self, name: str) -> None:
        """Removes a dataset, or what is left of a building that did not end; tags and description too.

        Raises:
            InvalidInput: it is none, something in it is none of its files, or it is being built.
            Unavailable: it can't be removed.
        """
        place, build = self.folder / check_name(name), self.build(name)
        if build is not None and build.state == "running":
            msg = f"{name!r} is being built by process {build.pid}; end that first"
            raise InvalidInput(msg)
        if place.exists() or build is None:
            _refuse_foreign(self._own(name))
            with writing(place):
                # Gone in one step: what is killed in the middle of this leaves no half dataset.
                away = Path(tempfile.mkdtemp(prefix=f".{name}.partial-", dir=self.folder))
                place.rename(away / name)
                shutil.rmtree(away)
        with writing(self.folder):
            for ending in ("json", "log"):
                self.build_file(name, ending).unlink(missing_ok=True)
            for left in self.folder.iterdir():
                if left.name.startswith(f".{name}.partial-"):
                    shutil.rmtree(left)
        with self._noting() as notes:
            descriptions = {key: each for key, each in notes.descriptions.items() if key != name}
            tags = {key: each for key, each in notes.tags.items() if each.name != name}
            self._write_notes(Notes(descriptions=descriptions, tags=tags))

    def _own(self, name: str) -> Contents:
        place = self.folder / check_name(name)
        if not is_dataset(place):
            self._missing(name)
        return contents_of(place)

    def _missing(self, name: str) -> Path:
        known = ", ".join(place.name for place in self._places()) or "none"
        msg = f"{name!r} is no dataset in {self.folder} and no folder of one; there are: {known}"
        raise InvalidInput(msg)

    def _places(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        places = (each for each in self.folder.iterdir() if not each.name.startswith("."))
        return sorted(each for each in places if is_dataset(each))

    @contextlib.contextmanager
    def _noting(self) -> Iterator[Notes]:
        with self._locked("notes.lock", _WAIT_S, "notes are being written by another process; try again"):
            yield self.notes()

    def _write_notes(self, notes: Notes) -> None:
        with writing(self.folder):
            write_whole(self.folder / _NOTES, _NOTE.dump_json(notes, indent=2))

    @contextlib.contextmanager
    def _locked(self, name: str, timeout_s: float, message: str) -> Iterator[None]:
        with writing(self.folder):
            (self.folder / _BUILDS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / _BUILDS / name)
        with writing(self.folder):
            try:
                lock.acquire(timeout_s)
            except Timeout as error:
                raise InvalidInput(message) from error
        try:
            yield
        finally:
            lock.release()


def _entry(place: Path) -> DatasetEntry:
    try:
        contents = contents_of(place)
    except InvalidInput as error:
        return DatasetEntry(name=place.name, state="failed", problem=str(error))
    missing = [path for path in contents.paths() if not path.is_file()]
    runs = contents.runs.values()
    state: BuildState = "failed" if missing else "finished"
    return DatasetEntry(
        name=place.name,
        state=state,
        run_ids=tuple(manifest.run.run_id for manifest in runs),
        started_at_us=min(manifest.run.started_at_us for manifest in runs),
        windows=sum(entry.rows or 0 for manifest in runs if (entry := manifest.file("windows.parquet"))),
        size_bytes=sum(entry.size_bytes for _, entry in contents.files),
        content_hash=contents.content_hash,
        problem=f"{missing[0].relative_to(place)} is missing" if missing else "",
    )


def _refuse_foreign(contents: Contents) -> None:
    place, foreign = contents.folder, contents.foreign()
    if place.is_symlink() or foreign:
        what = "is a link"
        if not place.is_symlink():
            what = f"holds {str(foreign[0].relative_to(place))!r}, which is no part of the dataset"
        msg = f"{place} {what}; nothing was deleted"
        raise InvalidInput(msg)


def _runs(build: Build) -> bool:
    try:
        process = psutil.Process(build.pid)
        is_same = abs(process.create_time() - build.process_started_s) < _SAME_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
