"""Objects as bytes and back.  The only cloudpickle import.

Plain built-in values take the fast standard pickler; everything else cloudpickle,
because only it can carry classes and functions that live in a notebook.
"""

from __future__ import annotations

import contextlib
import copyreg
import dis
import io
import itertools
import pickle
import sys
import threading
import types
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar

import cloudpickle

_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None)})
_PROTOCOL = pickle.HIGHEST_PROTOCOL


class _Bounded(io.BytesIO):
    """A buffer that refuses to grow beyond ``limit`` bytes, before the memory is used."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise OverLimit
        return super().write(data)


class OverLimit(Exception):
    """The pickle outgrew its limit."""


def dump(value: Any, limit: int | None = None) -> bytes:
    """Pickle ``value``.

    Raises OverLimit above ``limit`` bytes, and whatever the value's own pickling raises.
    """
    if is_plain(value):
        return dump_plain(value, limit)
    buffer = io.BytesIO() if limit is None else _Bounded(limit)
    _Pickler(buffer, protocol=_PROTOCOL).dump(value)
    return buffer.getvalue()


def dump_plain(value: Any, limit: int | None) -> bytes:
    """``dump`` of a value that ``is_plain``."""
    body = pickle.dumps(value, _PROTOCOL)
    if limit is not None and len(body) > limit:
        raise OverLimit
    return body


_GATHERED = 1 << 16
"""Larger objects that the pickler writes whole (bytes) stay where they are."""


class _Pieces:
    """Where a pickler writes to: large bytes objects are kept as they are, the rest is gathered."""

    def __init__(self, limit: int | None) -> None:
        self._limit = sys.maxsize if limit is None else limit
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        if type(data) is not bytes:  # it may be gone or changed after this call
            data = bytes(data)
        self._limit -= len(data)
        if self._limit < 0:
            raise OverLimit
        self._written.append(data)
        return len(data)

    def all(self) -> tuple[bytes, ...]:
        if len(self._written) == 1:
            return (self._written[0],)
        gathered: list[bytes] = []
        for large, group in itertools.groupby(self._written, lambda piece: len(piece) > _GATHERED):
            some = list(group)
            gathered += some if large else [b"".join(some)]
        return tuple(gathered)


def pieces_of(value: Any, limit: int | None, keep: Callable[[pickle.PickleBuffer], bool]) -> tuple[bytes, ...]:
    """The pickle of ``value`` in pieces.  Of each buffer ``keep`` says whether it goes into the pickle.

    Raises OverLimit above ``limit`` bytes, and whatever the value's own pickling raises.
    """
    pieces = _Pieces(limit)
    _Pickler(pieces, protocol=_PROTOCOL, buffer_callback=keep).dump(value)
    return pieces.all()


# --- what cloudpickle leaves to a name ------------------------------------------------

travelling: dict[str, dict[str, Any]] = {}
"""The contents of the modules that are pickled by value just now, by name; see ``modules.by_value``."""

Cached = type(lru_cache(max))
"""What ``lru_cache`` makes of a function."""


@contextlib.contextmanager
def registered(modules: Iterable[types.ModuleType]) -> Iterator[None]:
    """While it lasts, functions and classes of these modules are pickled by value."""
    known = cloudpickle.list_registry_pickle_by_value()
    new = [module for module in modules if module.__name__ not in known]
    for module in new:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new:
            cloudpickle.unregister_pickle_by_value(module)


class _Noticed(threading.local):
    modules: set[str] | None = None


_noticed = _Noticed()


@contextlib.contextmanager
def noticing() -> Iterator[set[str]]:
    """The modules to which this thread's pickles refer while it lasts.

    They are those of everything that goes by its name, and those that the code in them imports.
    """
    names: set[str] = set()
    before = _noticed.modules
    _noticed.modules = names
    try:
        yield names
    finally:
        _noticed.modules = before


def _notice(value: Any) -> None:
    """Take note of the module of a function or class that goes by name, and of the imports of one that does not."""
    if _noticed.modules is None:
        return
    if by_reference(value):
        _noticed.modules.add(value.__module__)
    elif isinstance(value, types.FunctionType):
        _noticed.modules.update(imports_in(value.__code__))


_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_IMPORTERS = frozenset({"import_module", "__import__"})


def imports_in(code: types.CodeType) -> set[str]:
    """The modules that code, and the code within it, imports by name."""
    found: set[str] = set()
    if _IMPORT_NAME in code.co_code[::2]:
        before: list[Any] = [None, None]  # an import's level and what it wants from the module come right before it
        for one in dis.get_instructions(code):
            if one.opcode == dis.EXTENDED_ARG:
                continue
            if one.opcode == _IMPORT_NAME and before[0] == 0:
                found |= {one.argval, *(f"{one.argval}.{name}" for name in before[1] or ())}
            before = [before[1], one.argval]
    if _IMPORTERS.intersection(code.co_names):
        texts = (one for one in code.co_consts if isinstance(one, str))
        found |= {one for one in texts if all(part.isidentifier() for part in one.split("."))}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= imports_in(constant)
    return found


def _reduce_module(module: types.ModuleType) -> Any:
    """A module that travels is filled after it is made: its functions may refer to it."""
    if module.__name__ in travelling:
        return types.ModuleType, (module.__name__,), travelling[module.__name__]
    if _noticed.modules is not None:
        _noticed.modules.add(module.__name__)
    return cloudpickle.Pickler.dispatch_table[types.ModuleType](module)


def _reduce_cached(function: Any) -> Any:
    """A function behind ``lru_cache`` travels as the function below it does; its cache is new."""
    if by_reference(function):
        _notice(function)
        return function.__qualname__
    return _cached, (function.__wrapped__, function.cache_parameters())


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return lru_cache(**parameters)(function)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """cloudpickle's, with modules that travel and cached functions; takes note of what goes by name."""

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object that is no built-in one: only functions and classes are of interest."""
        if not isinstance(obj, (type, types.FunctionType)):
            return NotImplemented
        _notice(obj)
        return super().reducer_override(obj)

    dispatch_table: ClassVar[ChainMap[Any, Any]] = ChainMap(
        {types.ModuleType: _reduce_module, Cached: _reduce_cached}, cloudpickle.Pickler.dispatch_table
    )


def is_plain(value: Any) -> bool:
    """Whether ``value`` is a built-in scalar, or a flat list, tuple or range of those."""
    kind = type(value)
    if kind in _PLAIN or kind is range:
        return True
    return kind in (list, tuple) and _PLAIN.issuperset(map(type, value))


def by_reference(value: Any) -> bool:
    """Whether a function or class travels as a name to import, and not with its code."""
    module = getattr(value, "__module__", None)
    if module in (None, "__main__") or module not in sys.modules:
        return False
    if any(module == one or module.startswith(f"{one}.") for one in cloudpickle.list_registry_pickle_by_value()):
        return False
    found: Any = sys.modules[module]
    for name in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is value


Buffer = pickle.PickleBuffer
"""How large arrays hand out their bytes when they are taken apart."""


def reduced(value: Any) -> tuple[Any, ...] | str | None:
    """What pickle would make an object from; None when it cannot be taken apart."""
    reduce = copyreg.dispatch_table.get(type(value))
    try:
        return reduce(value) if reduce is not None else value.__reduce_ex__(_PROTOCOL)
    except Exception:
        return None


def content(value: Any) -> bytes | None:
    """An object's pickle; None when it has none."""
    try:
        return dump(value)
    except Exception:
        return None
