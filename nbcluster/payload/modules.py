"""Modules that travel with a function because the nodes do not have them.

A shipped module is pickled by value: its functions and classes with their code, its other
names as they are now.  On the node it stands in ``sys.modules`` while its function runs,
so that an ``import`` in the function's body finds it too, and what the function gives
back refers to it by name.  A name whose object cannot be pickled stays behind, and says
so where it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import linecache
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from nbcluster.errors import InputError
from nbcluster.payload import pickling
from nbcluster.payload.captures import reason

Modules = Mapping[str, types.ModuleType]

_OF_THE_IMPORT = {"__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__"}
_one_at_a_time = threading.RLock()


def modules_named(names: object) -> tuple[str, ...]:
    """The import names that ``ship`` gives: one, or several, as text or as modules.  Raises InputError."""
    several = names if isinstance(names, (list, tuple, set, frozenset)) else [names]
    if names is None or isinstance(names, bool):  # said is then whether what lies beside the notebook travels
        return ()
    found: dict[str, None] = {}
    for one in several:
        name = one.__name__ if isinstance(one, types.ModuleType) else one
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise InputError(
                f"ship: {str(name)[:60]!r} is no module; name it as an import does, for example ship=['x']"
            )
        found[name] = None
    return tuple(found)


def modules_of(names: Iterable[str]) -> dict[str, types.ModuleType]:
    """These modules; of a package everything that is imported of it.  Raises InputError for one that is not there."""
    found: dict[str, types.ModuleType] = {}
    for name in names:
        if not str(getattr(_imported(name), "__file__", None) or "").endswith(".py"):
            raise InputError(f"ship: {name} has no Python source to send; install it on the nodes")
        top = name.partition(".")[0]
        found |= {
            known: one
            for known, one in list(sys.modules.items())
            if (known == top or known.startswith(f"{top}.")) and isinstance(one, types.ModuleType)
        }
    return found


def texts_of(modules: Modules) -> dict[str, str]:
    """The source of these modules by file name, for tracebacks where there is no such file."""
    files = [str(module.__file__) for module in modules.values() if getattr(module, "__file__", None)]
    return {file: "".join(linecache.getlines(file)) for file in files}


def _imported(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"ship: importing {name} failed: {reason(error)}") from error
        raise InputError(f"ship: there is no module {name!r} here; name it as an import does") from None
    except Exception as error:  # whatever the module does when it is imported
        raise InputError(f"ship: importing {name} failed: {reason(error)}") from error


@contextlib.contextmanager
def by_value(modules: Modules) -> Iterator[None]:
    """While it lasts, these modules and what they define are pickled by value.  One thread at a time."""
    if not modules:
        yield
        return
    with _one_at_a_time, pickling.registered(modules.values()):
        # What one module refers to in another is not to be walked again for each of its names.
        pickling.travelling.update({name: {} for name in modules})
        try:
            pickling.travelling.update({name: _state(module) for name, module in modules.items()})
            yield
        finally:
            pickling.travelling.clear()


def _state(module: types.ModuleType) -> dict[str, Any]:
    """A module's names with what can be pickled; the rest is explained by its ``__getattr__``."""
    kept: dict[str, Any] = {}
    lost: dict[str, str] = {}
    for name, value in vars(module).items():
        if name in _OF_THE_IMPORT:
            continue
        try:
            pickling.dump(value)
        except Exception as error:
            lost[name] = reason(error)
        else:
            kept[name] = value
    if hasattr(module, "__path__"):
        kept["__path__"] = []
    if lost and "__getattr__" not in kept:
        kept["__getattr__"] = partial(left_behind, module.__name__, lost)
    return kept


def left_behind(module: str, lost: Mapping[str, str], name: str) -> Any:
    """The ``__getattr__`` of a shipped module: says of a name why it did not travel."""
    if name in lost:
        raise AttributeError(f"{module}.{name} did not travel with the module: {lost[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


@contextlib.contextmanager
def in_place(modules: Modules) -> Iterator[None]:
    """While it lasts, imports of these names find these modules; afterwards what they found before."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
