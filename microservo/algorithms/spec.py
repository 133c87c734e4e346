"""What a user points at, resolved to a declaration and the code that belongs to it. Nothing is imported.

==================  ====================================================================================
a shipped kind      its name, as `n-sigma`
``module:object``   of a package of the environment; say which one in `requires`
``NAME.py``         the only class or function in it that is an algorithm, or ``NAME.py:object``
a folder            with ``algorithm.toml``, or with a single ``.py``
a wheel, a zip      unpacked and checked, then as a folder; or what the wheel's entry point says
``NAME.toml``       a declaration; its object may be in a module or package beside it
==================  ====================================================================================

A file ``NAME.toml`` beside ``NAME.py`` declares the rest.
"""

from __future__ import annotations

import ast
import configparser
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from microservo.adapters.archive import unpack
from microservo.algorithms.declaration import Declaration, Task, declaration_of
from microservo.errors import InvalidInput

Source = Literal["shipped", "object", "file", "folder", "archive", "declaration"]

DECLARATION = "algorithm.toml"
ENTRY_POINTS = "microservo.algorithms"
SHIPPED = Path(__file__).with_name("shipped")
_ARCHIVES = (".whl", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """An algorithm, ready to be deployed.

    Attributes:
        declaration: what runs.
        source: what it came from.
        code: modules, packages or folders that are mounted where it runs, and made importable.
    """

    declaration: Declaration
    source: Source
    code: tuple[Path, ...] = ()


def resolve(
    spec: str, overrides: Mapping[str, Any] | None = None, *, unpack_to: Path | None = None
) -> Plugin:
    """What a user points at.

    Args:
        spec: see above.
        overrides: keys of a declaration that count more; `params` are merged one by one.
        unpack_to: a folder to be made, that an archive is unpacked to.

    Raises:
        InvalidInput: there is no such thing, it is not clear which object is meant, or a declaration can't
            be.
    """
    changes = overrides or {}
    path, name = _split(spec)
    shipped = sorted(each.stem for each in SHIPPED.glob("*.toml"))
    if spec in shipped:
        return _of_declaration(SHIPPED / f"{spec}.toml", "shipped", changes)
    if path.is_dir():
        return _of_folder(path, "folder", changes)
    if path.is_file() and path.suffix in _ARCHIVES:
        return _of_archive(path, unpack_to, changes)
    if path.is_file() and path.suffix in (".toml", ".py"):
        is_module = path.suffix == ".py"
        return (
            _of_file(path, name, "file", changes)
            if is_module
            else _of_declaration(path, "declaration", changes)
        )
    if ":" in spec and "/" not in spec and path.suffix != ".py":
        return Plugin(declaration=_declaration({"object": spec}, changes), source="object")
    msg = (
        f"no algorithm {spec!r}; expected module:object, a .py file, a folder, a wheel or zip, "
        f"a .toml declaration, or one of {', '.join(shipped)}"
    )
    raise InvalidInput(msg)


def _split(spec: str) -> tuple[Path, str]:
    """The path, and the name in it where one is said, as in NAME.py:object."""
    file, _, name = spec.rpartition(":")
    return (Path(file), name) if file.endswith(".py") else (Path(spec), "")


def _of_archive(path: Path, unpack_to: Path | None, changes: Mapping[str, Any]) -> Plugin:
    if unpack_to is None:
        msg = f"{path} is an archive; expected a folder to unpack it to"
        raise InvalidInput(msg)
    unpack(path, unpack_to)
    return _of_folder(unpack_to, "archive", changes)


def read_toml(path: Path) -> dict[str, Any]:
    """The document in a file.

    Raises:
        InvalidInput: it can't be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} can't be read ({error}); expected a declaration in TOML"
        raise InvalidInput(msg) from error


def _declaration(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Declaration:
    params = {**document.get("params", {}), **changes.get("params", {})}
    return declaration_of({**document, **changes, **({"params": params} if params else {})})


def _of_declaration(path: Path, source: Source, changes: Mapping[str, Any]) -> Plugin:
    document = read_toml(path)
    try:
        declaration = _declaration(document, changes)
    except InvalidInput as error:
        msg = f"{path}: {error}"
        raise InvalidInput(msg) from error
    references = [declaration.object, *(step.object for step in declaration.pre)]
    code = {each: None for reference in references for each in _code_beside(path.parent, reference)}
    return Plugin(declaration=declaration, source=source, code=tuple(code))


def _code_beside(folder: Path, reference: str) -> tuple[Path, ...]:
    """The module or package of an object or a step, where it lies in a folder or is that folder."""
    name = reference.partition(":")[0].partition(".")[0]
    if folder.name == name and (folder / "__init__.py").is_file():
        return (folder.resolve(),)
    if (folder / f"{name}.py").is_file() or (folder / name).is_dir():
        return (folder.resolve(),)
    return ()


def _of_file(path: Path, name: str, source: Source, changes: Mapping[str, Any]) -> Plugin:
    _check_stands_alone(path)
    beside = path.with_suffix(".toml")
    document = read_toml(beside) if beside.is_file() else {}
    if name or "object" not in document:
        name, task = _found_in(path, name)
        document = {**document, "object": f"{path.stem}:{name}", **({"task": task} if task else {})}
    return Plugin(declaration=_declaration(document, changes), source=source, code=(path.resolve(),))


def _of_folder(folder: Path, source: Source, changes: Mapping[str, Any]) -> Plugin:
    if (folder / DECLARATION).is_file():
        return _of_declaration(folder / DECLARATION, source, changes)
    for entry_points in folder.glob("*.dist-info/entry_points.txt"):
        document = {"object": _entry_point(entry_points)}
        return Plugin(declaration=_declaration(document, changes), source=source, code=(folder.resolve(),))
    inner = [each for each in folder.iterdir() if not each.name.startswith((".", "__"))]
    # Who zips a folder gets an archive with that folder in it.
    if len(inner) == 1 and inner[0].is_dir():
        return _of_folder(inner[0], source, changes)
    files = sorted(each for each in inner if each.suffix == ".py" and not each.stem.startswith("test"))
    if len(files) != 1:
        msg = (
            f"{folder} has {len(files)} modules and no {DECLARATION}; "
            f"say which one it is by a file {DECLARATION} with object = 'module:name'"
        )
        raise InvalidInput(msg)
    return _of_file(files[0], "", source, changes)


def _entry_point(path: Path) -> str:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, ValueError, configparser.Error) as error:
        msg = f"{path} can't be read ({error}); expected entry points"
        raise InvalidInput(msg) from error
    found = dict(parser[ENTRY_POINTS]) if ENTRY_POINTS in parser else {}
    if len(found) != 1:
        msg = f"{path} has {len(found)} entry points in {ENTRY_POINTS!r}; expected one, or an {DECLARATION}"
        raise InvalidInput(msg)
    return next(iter(found.values())).strip()


def _check_stands_alone(path: Path) -> None:
    """Refuses a module that imports what lies beside it: of a `.py` file, only itself is sent."""
    for name in _imported_by(_tree(path)):
        is_module = (path.parent / f"{name}.py").is_file()
        if not name or is_module or (path.parent / name / "__init__.py").is_file():
            what = f"{name}, which lies beside it" if name else "from its own package"
            way = "PACKAGE." if not name else ""
            msg = (
                f"{path} imports {what} and would stay behind: deploy the whole folder, with a file "
                f"{DECLARATION} in it that says object = '{way}{path.stem}:NAME'"
            )
            raise InvalidInput(msg)


def _imported_by(tree: ast.Module) -> Iterator[str]:
    """The top names of modules that a module imports; an empty one for what is relative to it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else str(node.module).partition(".")[0]


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"{path} can't be read ({error}); expected a module in Python"
        raise InvalidInput(msg) from error


def _found_in(path: Path, wanted: str) -> tuple[str, Task | None]:
    """The name of the algorithm in a module, and its task as far as that can be seen without running it."""
    tasks = dict(_tasks_in(_tree(path)))
    if wanted:
        return wanted, tasks.get(wanted)
    if len(tasks) != 1:
        names = ", ".join(tasks) or "none"
        msg = (
            f"{path} has {len(tasks)} algorithms ({names}); expected one class with score_one and learn_one "
            f"or with fit and predict_proba, or one function f(data, inject_time); or say {path}:NAME"
        )
        raise InvalidInput(msg)
    return next(iter(tasks.items()))


def _tasks_in(tree: ast.Module) -> Iterator[tuple[str, Task]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            if {"score_one", "learn_one"} <= methods or {"score_partial", "fit_partial"} <= methods:
                yield node.name, "detector"
            elif {"fit", "predict_proba"} <= methods:
                yield node.name, "classifier"
            elif {"fit"} <= methods and methods & {"decision_function", "score_samples"}:
                yield node.name, "detector"
        elif isinstance(node, ast.FunctionDef):
            arguments = [each.arg for each in node.args.args[:2]]
            if arguments == ["data", "inject_time"]:
                yield node.name, "ranker"
