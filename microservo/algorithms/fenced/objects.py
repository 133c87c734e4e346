"""Objects of plug-ins: found by `module:name`, made with their parameters and a seed of their own."""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

_SEEDS = {"seed": 1 << 63, "random_state": 1 << 32, "random_seed": 1 << 32}
"""Parameters that take a seed, in the libraries' words, and what it must be below."""


class Refused(Exception):
    """The plug-in can't be run as it is; the message says what would do."""


def add_code(path: str) -> None:
    """Makes a plug-in's code importable: a module, a package, or a folder or archive that holds some.

    Args:
        path: `NAME.py`, a folder with `__init__.py` (the package of that name), or what goes on `sys.path`.
    """
    place = Path(path)
    if place.suffix == ".py":
        _register(place.stem, place, None)
    elif (place / "__init__.py").is_file():
        _register(place.name, place / "__init__.py", place)
    else:
        sys.path.insert(0, path)


def _register(name: str, file: Path, folder: Path | None) -> None:
    if not name.isidentifier():
        msg = f"{file.name!r} can't be imported: {name!r} is no name of a module; rename it"
        raise Refused(msg)
    places = None if folder is None else [os.fspath(folder)]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        msg = f"{os.fspath(file)!r} is no Python module"
        raise Refused(msg)
    module = importlib.util.module_from_spec(spec)
    # Before it runs: it may import itself, and memory is put away by the name of its module.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        msg = (
            f"{file.name} imports {error.name!r}, and there is no such module; name the package that has it "
            "in `requires`, or deploy the folder that has both"
        )
        raise Refused(msg) from error


def find(reference: str) -> Any:
    """What `module:name` stands for; the name may have dots.

    Raises:
        Refused: there is no such module or name.
    """
    module_name, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        msg = f"no module {missing!r} for {reference!r}; name the package that has it in `requires`"
        raise Refused(msg) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            there = ", ".join(sorted(each for each in vars(found) if not each.startswith("_"))[:20])
            msg = f"{module_name!r} has no {part!r} for {reference!r}; it has {there}"
            raise Refused(msg) from error
    return found


def seed_of(seed: int, service: str) -> int:
    """The seed of one service: another one for each, the same in every process."""
    digest = hashlib.blake2b(f"{seed}/{service}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def make(found: Any, params: Mapping[str, Any], seed: int) -> Any:
    """A new object: of a class, a copy of an object, or a function with its parameters bound.

    Args:
        found: what the plug-in has under its name.
        params: keyword arguments. A table of `object` and `params`, also in a list, is an object to be made.
        seed: given to the parameter that takes one, unless `params` does; to those of such objects, too.

    Raises:
        Refused: it does not take these parameters.
    """
    params = {name: _given(value, seed) for name, value in params.items()}
    if inspect.isclass(found):
        return _called(found, {**_seed_for(found, params, seed), **params})
    if inspect.isroutine(found):
        seeds = _seed_for(found, params, seed)
        return partial(found, **seeds, **params) if seeds or params else found
    if params:
        names = ", ".join(sorted(params))
        msg = f"parameters ({names}) for an object that is made already; name its class instead"
        raise Refused(msg)
    return copy.deepcopy(found)


def _given(value: Any, seed: int) -> Any:
    """A parameter: what is declared as an object is made, for each that takes it another one."""
    if isinstance(value, list):
        return [_given(each, seed) for each in value]
    if isinstance(value, Mapping) and {"object"} <= value.keys() <= {"object", "params"}:
        return make(find(value["object"]), value.get("params", {}), seed)
    return value


def _called(kind: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        inspect.signature(kind).bind(**arguments)
    except TypeError as error:
        takes = ", ".join(_parameters(kind))
        msg = f"{_name(kind)} can't be made ({error}); it takes {takes or 'no parameters'}"
        raise Refused(msg) from error
    except ValueError:
        pass  # built in C without a signature: it says itself what it does not take
    return kind(**arguments)


def _seed_for(kind: Callable[..., Any], params: Mapping[str, Any], seed: int) -> dict[str, int]:
    taken = [name for name in _parameters(kind) if name in _SEEDS and name not in params]
    return {name: seed % _SEEDS[name] for name in taken}


def _parameters(kind: Callable[..., Any]) -> list[str]:
    try:
        found = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each.name for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]


def _name(kind: Callable[..., Any]) -> str:
    return getattr(kind, "__qualname__", repr(kind))


class Maker:
    """Makes an object anew; can be put away with what was learned, as a closure can't.

    Args:
        found: a class, object or function.
        params: its parameters.
        seed: what its seed is, where it takes one.
    """

    def __init__(self, found: Any, params: Mapping[str, Any], seed: int) -> None:
        self._arguments = (found, dict(params), seed)

    def __call__(self) -> Any:
        """A new one."""
        return make(*self._arguments)
