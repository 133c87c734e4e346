"""What a folder of a dataset holds, be it of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from microservo.datasets.verifying import byte_problems, content_hash, read_manifest, verify
from microservo.domain.datasets.collection import COLLECTION, Collection, collection_hash
from microservo.domain.datasets.manifest import MANIFEST, FileEntry, Manifest
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A dataset's parts.

    Attributes:
        content_hash: of the whole.
        runs: the manifest of each run, by its folder; in order of their ids.
        files: all files but those that say what there is, by folder and entry.
        documents: those.
        is_collection: whether runs lie in folders below.
    """

    folder: Path
    content_hash: str
    runs: Mapping[Path, Manifest]
    files: tuple[tuple[Path, FileEntry], ...]
    documents: tuple[Path, ...]
    is_collection: bool

    def paths(self) -> list[Path]:
        """Every file of it, sorted."""
        return sorted([*self.documents, *(place / entry.name for place, entry in self.files)])

    def problems(self) -> list[str]:
        """What is wrong with the bytes of its files; empty if nothing is."""
        return [problem for place, entry in self.files for problem in byte_problems(place, entry)]

    def foreign(self) -> list[Path]:
        """What lies in the folder and is no part of the dataset."""
        known = {*self.paths(), *self.runs, self.folder}
        known |= {place.parent for place in self.runs} if self.is_collection else set()
        return sorted(each for each in self.folder.rglob("*") if each not in known or each.is_symlink())


def is_dataset(folder: Path) -> bool:
    """Whether a folder says that it is a dataset."""
    return any((folder / name).is_file() for name in (MANIFEST, COLLECTION))


def contents_of(folder: Path) -> Contents:
    """What is in a folder.

    Raises:
        InvalidInput: it holds no dataset, or what says so can't be read.
    """
    if not (folder / COLLECTION).is_file():
        manifest = read_manifest(folder)
        return Contents(
            folder=folder,
            content_hash=manifest.content_hash,
            runs={folder: manifest},
            files=tuple((folder, entry) for entry in manifest.files),
            documents=(folder / MANIFEST,),
            is_collection=False,
        )
    collection = read_collection(folder)
    runs = {folder / run.folder: read_manifest(folder / run.folder) for run in collection.runs}
    files = [(folder, entry) for entry in collection.files]
    files += [(place, entry) for place, manifest in runs.items() for entry in manifest.files]
    return Contents(
        folder=folder,
        content_hash=collection.content_hash,
        runs=runs,
        files=tuple(files),
        documents=(folder / COLLECTION, *(place / MANIFEST for place in runs)),
        is_collection=True,
    )


def read_collection(folder: Path) -> Collection:
    """The runs of a dataset of several.

    Raises:
        InvalidInput: it can't be read, or names folders elsewhere.
    """
    try:
        text = (folder / COLLECTION).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{folder / COLLECTION} can't be read ({error}); build the dataset again"
        raise InvalidInput(msg) from error
    collection = Collection.from_json(text)
    for run in collection.runs:
        if not (folder / run.folder).resolve().is_relative_to(folder.resolve()) or not run.folder.strip("./"):
            msg = f"{folder / COLLECTION} names the folder {run.folder!r}, which is not in it; build it again"
            raise InvalidInput(msg)
    return collection


def problems_of(folder: Path) -> list[str]:
    """As `verify`, for datasets of one run and of several.

    Raises:
        InvalidInput: there is no manifest that can be read.
    """
    if not (folder / COLLECTION).is_file():
        return verify(folder)
    collection = read_collection(folder)
    problems = [each for entry in collection.files for each in byte_problems(folder, entry)]
    for run in collection.runs:
        problems += [f"{run.folder}: {each}" for each in verify(folder / run.folder)]
        found = read_manifest(folder / run.folder)
        if (found.run.run_id, found.content_hash) != (run.run_id, run.content_hash):
            problems.append(f"{run.folder}: holds another run or content than {COLLECTION} says")
    if collection.content_hash != collection_hash(collection.runs):
        problems.append(f"content hash {collection.content_hash} does not follow from the runs")
    top = {COLLECTION, *(entry.name for entry in collection.files)}
    top |= {run.folder.split("/", 1)[0] for run in collection.runs}
    return problems + [
        f"{each.name}: no part of the dataset" for each in folder.iterdir() if each.name not in top
    ]


def hash_of(folder: Path) -> str:
    """As `content_hash`, for datasets of one run and of several.

    Raises:
        InvalidInput: a table is missing or can't be read.
    """
    if not (folder / COLLECTION).is_file():
        return content_hash(folder)
    runs = read_collection(folder).runs
    return collection_hash([replace(run, content_hash=content_hash(folder / run.folder)) for run in runs])
