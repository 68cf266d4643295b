"""What a function and its inputs are, as digests that any kernel computes alike.

Two kernels that hold the same code and the same values get the same digest, whatever
their hash seed, the order in which they defined things or the names of their cells:
code counts by its instructions and constants and not by its lines; sets and dicts count
without their order; an object counts by what pickle would take apart, without the
sharing that a pickle's bytes depend on.  What can be imported counts by its name, and
by the text of its module where that is the user's own file.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from nbcluster import payload
from nbcluster.partitioners.handle import Handle
from nbcluster.payload import beside

_BY_VALUE = 2
"""The version of marshal that knows no sharing: equal values are equal bytes."""
_DEEPEST = 20
_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None), type(Ellipsis)})
_LEFT_OUT_OF_CLASSES = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__",
    "__annotations_cache__", "__annotate_func__", "__abstractmethods__", "_abc_impl",
}  # fmt: skip


def of_function(function: Callable[..., Any]) -> str:
    """The digest of a function's code with its defaults and everything of the notebook that it refers to."""
    return _digest(function)


def of_inputs(source: Any) -> str:
    """The digest of what is mapped over, as ``Partitioner.identity`` tells it."""
    return _digest(source)


@dataclass(frozen=True, slots=True)
class Identified:
    """A digest, and something in it that it cannot be relied on for, in words; mostly empty."""

    digest: str
    doubt: str


def identified(value: Any) -> Identified:
    """The digest of any value, and whether it can be relied on: two values with one digest are the same."""
    walk = _Identity()
    try:
        return Identified(walk.of(value).hex(), next(iter(walk.doubts), ""))
    except RecursionError:
        return Identified("", f"a {type(value).__name__} that is nested too deep to be told from others")


def combined(parts: Iterable[object]) -> str:
    """One digest for several."""
    return _digest(list(parts))


def _digest(value: Any) -> str:
    try:
        return _Identity().of(value).hex()
    except RecursionError:  # a chain of objects too long to walk
        return _opaque(value).hex()


class _Identity:
    """One walk over an object and what it consists of.

    An object that is met again on the way down to itself counts by how far up it stands.
    """

    def __init__(self) -> None:
        self._path: dict[int, int] = {}
        self._known: dict[int, tuple[Any, bytes]] = {}
        self.doubts: list[str] = []
        """What this digest does not tell from something else, in words."""

    def of(self, value: Any) -> bytes:
        if _is_flat(value):
            return _hashed(b"flat", marshal.dumps(value, _BY_VALUE))
        address = id(value)
        if address in self._known:
            return self._known[address][1]
        if address in self._path:
            return _hashed(b"above", str(self._path[address]).encode())
        self._path[address] = len(self._path)
        try:
            digest = self._describe(value)
        finally:
            del self._path[address]
        self._known[address] = (value, digest)  # kept with the object: its address stays its own
        return digest

    def _all(self, kind: str, *parts: Any) -> bytes:
        return _hashed(kind.encode(), *(self.of(part) for part in parts))

    def _unordered(self, kind: str, parts: Iterable[tuple[Any, ...]]) -> bytes:
        digests = []
        for part in parts:
            walk = self if all(map(_is_flat, part)) else self._apart()
            digests.append(_hashed(*(walk.of(one) for one in part)))
        return _hashed(kind.encode(), *sorted(digests))

    def _apart(self) -> _Identity:
        """A walk from here on: what one entry of a set teaches must not count for the next, which comes by accident."""
        walk = _Identity()
        walk._path, walk._known, walk.doubts = dict(self._path), dict(self._known), self.doubts
        return walk

    def _describe(self, value: Any) -> bytes:
        kind = type(value)
        for types_of_it, describe in _DESCRIBED:
            if issubclass(kind, types_of_it):
                return describe(self, value)
        if hasattr(value, "iloc") and hasattr(value, "dtypes"):
            return self._frame(value)
        return self._object(value)

    # --- code ---------------------------------------------------------------

    def _function(self, function: types.FunctionType) -> bytes:
        if payload.by_reference(function):
            return self._importable(function.__module__, function.__qualname__)
        names = {
            name: function.__globals__[name] for name in payload.global_names(function.__code__) if _has(function, name)
        }
        closure = [_content(cell) for cell in function.__closure__ or ()]
        extra = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
        imported = beside.digest_of(payload.imports_in(function.__code__))
        return self._all(
            "function", function.__code__, function.__defaults__, function.__kwdefaults__, names, closure, extra,
            *([imported] if imported else []),
        )  # fmt: skip

    def _code(self, code: types.CodeType) -> bytes:
        numbers = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return self._all("code", numbers, names, code.co_code, list(code.co_consts), code.co_exceptiontable)

    def _class(self, one: type) -> bytes:
        if payload.by_reference(one):
            return self._importable(one.__module__, one.__qualname__)
        content = {name: value for name, value in vars(one).items() if name not in _LEFT_OUT_OF_CLASSES}
        slots = [name for name, value in content.items() if isinstance(value, types.MemberDescriptorType)]
        content = {name: value for name, value in content.items() if name not in slots}
        return self._all("class", one.__qualname__, list(one.__bases__), type(one), sorted(slots), content)

    def _cached(self, function: Any) -> bytes:
        """A function behind ``lru_cache``."""
        if payload.by_reference(function):
            return self._importable(function.__module__, function.__qualname__)
        return self._all("cached", function.__wrapped__, function.cache_parameters())

    def _module(self, module: types.ModuleType) -> bytes:
        if module.__name__ in payload.travelling:
            return self._all("module", module.__name__, payload.travelling[module.__name__])
        return self._importable(module.__name__, "")

    def _importable(self, module: str, name: str) -> bytes:
        return _hashed(b"importable", module.encode(), name.encode(), _own_text(module))

    def _builtin(self, function: types.BuiltinFunctionType) -> bytes:
        owner = function.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return self._importable(function.__module__ or "", function.__qualname__)
        return self._all("bound", function.__name__, owner)

    # --- values ---------------------------------------------------------------

    def _sequence(self, value: Any) -> bytes:
        if type(value) in (list, tuple):
            return self._all(type(value).__name__, *value)
        return self._object(value)

    def _range(self, value: range) -> bytes:
        return self._all("range", value.start, value.stop, value.step)

    def _mapping(self, value: Any) -> bytes:
        if type(value) in (dict, types.MappingProxyType):
            return self._unordered("dict", value.items())
        return self._object(value)

    def _set(self, value: Any) -> bytes:
        if type(value) in (set, frozenset):
            return self._unordered(type(value).__name__, ((one,) for one in value))
        return self._object(value)

    def _buffer(self, value: Any) -> bytes:
        raw = value.raw() if isinstance(value, payload.Buffer) else memoryview(value).cast("B")
        return _hashed(b"bytes", raw)

    def _frame(self, value: Any) -> bytes:
        """A frame or a series by its columns: how pandas keeps them in blocks is an accident."""
        if not hasattr(value, "columns"):
            return self._all("series", value.name, str(value.dtype), value.index, value.to_numpy())
        columns = [value.iloc[:, place] for place in range(value.shape[1])]
        told = [(label, str(one.dtype), one.to_numpy()) for label, one in zip(value.columns, columns, strict=True)]
        return self._all("frame", value.index, told)

    def _handle(self, handle: Handle) -> bytes:
        if not handle.settled:
            self.doubts.append(f"{handle!r}, whose rows may change unseen")
        return self._all("handle", type(handle).__qualname__, handle.identity())

    def _object(self, value: Any) -> bytes:
        """Anything else by what it is made from; by its pickle where it cannot be taken apart."""
        parts = payload.reduced(value)
        if parts is None:
            self.doubts.append(_indistinct(type(value).__qualname__))
            return _opaque(value)
        if isinstance(parts, str):
            return self._importable(getattr(value, "__module__", None) or "", parts)
        made, given, state, entries, pairs, *_ = *parts, None, None, None
        return self._all(
            "object", type(value), made, given, state,
            None if entries is None else list(entries), None if pairs is None else dict(pairs),
        )  # fmt: skip


_Describe = Callable[[_Identity, Any], bytes]
_DESCRIBED: tuple[tuple[Any, _Describe], ...] = (
    (types.FunctionType, _Identity._function),
    (payload.Cached, _Identity._cached),
    (types.CodeType, _Identity._code),
    (type, _Identity._class),
    (types.ModuleType, _Identity._module),
    (types.BuiltinFunctionType, _Identity._builtin),
    (types.MethodType, lambda walk, value: walk._all("method", value.__func__, value.__self__)),
    ((staticmethod, classmethod), lambda walk, value: walk._all(type(value).__name__, value.__func__)),
    (property, lambda walk, value: walk._all("property", value.fget, value.fset, value.fdel)),
    (Handle, _Identity._handle),
    (partial, lambda walk, value: walk._all("partial", value.func, value.args, value.keywords)),
    ((list, tuple), _Identity._sequence),
    (range, _Identity._range),
    ((dict, types.MappingProxyType), _Identity._mapping),
    ((set, frozenset), _Identity._set),
    ((bytearray, memoryview, payload.Buffer), _Identity._buffer),
)


def _indistinct(kind: str) -> str:
    return f"a {kind}, which cannot be told from others"


def _opaque(value: Any) -> bytes:
    """What cannot be taken apart counts by its pickle; what cannot even be pickled, by its type."""
    body = payload.content(value)
    return _hashed(b"type", type(value).__qualname__.encode()) if body is None else _hashed(b"pickle", body)


def _hashed(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _is_flat(value: Any, depth: int = 0) -> bool:
    """Whether ``value`` is a plain scalar, or a list or tuple of nothing but those, however nested."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind not in (list, tuple) or depth > _DEEPEST:
        return False
    return _SCALARS.issuperset(map(type, value)) or all(_is_flat(one, depth + 1) for one in value)


def _has(function: types.FunctionType, name: str) -> bool:
    return name in function.__globals__ and name not in ("__file__", "__name__", "__builtins__")


def _content(cell: types.CellType) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:  # the name was never assigned
        return ()


@lru_cache(maxsize=256)
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({str(Path(paths[name]).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _own_text(module: str) -> bytes:
    """The digest of a module's file if it is the user's own; what is installed counts by its name.

    One that lies beside the notebook counts with all that travels with it.
    """
    travels = beside.digest_of([module])
    if travels:
        return travels
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file or not file.endswith(".py"):
        return b""
    path = Path(file).resolve()
    if any(str(path).startswith(f"{folder}/") for folder in _library_folders()) or "site-packages" in path.parts:
        return b""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
