"""What crosses between kernel and child: functions, arguments and values as bytes.  The only cloudpickle import.

The kernel packs a function with everything it captured (functions of a notebook
travel by value) and the source lines its tracebacks need; a child unpacks it
once and keeps it.  Values come back the same way.  The node passes bytes on and
opens none of them.

Plain built-in values take the fast standard pickler; everything else cloudpickle,
because only it can carry classes and functions that live in a notebook.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import linecache
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle

from nbcluster.errors import CannotPickle, PayloadError, TooLarge

ITEMS, STAR, PARTITION, CALL = "items", "star", "partition", "call"
"""How a child calls the function: per item, per item as arguments, once with the part, once with (args, kwargs)."""

VALUES, OUTCOME = "values", "outcome"
"""Once with every value of an earlier step, in input order; once with how the job ended."""

_PLAIN = frozenset({int, float, bool, str, bytes, complex, type(None)})
_PROTOCOL = pickle.HIGHEST_PROTOCOL
_REREAD_BELOW = 1_000_000


@dataclass(frozen=True, slots=True)
class Shipped:
    """A function as a child gets it: itself, and the source texts of its cells by file name."""

    function: Callable[..., Any]
    sources: dict[str, str]


class _Bounded(io.BytesIO):
    """A buffer that refuses to grow beyond ``limit`` bytes, before the memory is used."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit:
            raise _OverLimit
        return super().write(data)


class _OverLimit(Exception):
    """The pickle outgrew its limit."""


def dump(value: Any, limit: int | None = None) -> bytes:
    """Pickle ``value``.

    Raises _OverLimit above ``limit`` bytes, and whatever the value's own pickling raises.
    """
    if is_plain(value):
        body = pickle.dumps(value, _PROTOCOL)
        if limit is not None and len(body) > limit:
            raise _OverLimit
        return body
    if limit is None:
        return bytes(cloudpickle.dumps(value, protocol=_PROTOCOL))
    buffer = _Bounded(limit)
    cloudpickle.Pickler(buffer, protocol=_PROTOCOL).dump(value)
    return buffer.getvalue()


def is_plain(value: Any) -> bool:
    """Whether ``value`` is a built-in scalar, or a flat list, tuple or range of those."""
    kind = type(value)
    if kind in _PLAIN or kind is range:
        return True
    return kind in (list, tuple) and _PLAIN.issuperset(map(type, value))


def load(body: bytes) -> Any:
    """The object that ``dump`` wrote.  Only ever call it on bytes whose signature was checked."""
    return pickle.loads(body)


def pack_function(function: Callable[..., Any], max_capture: int) -> bytes:
    """A function with what it captured and its cells' source.

    Raises CannotPickle or TooLarge, naming the captured object that is the cause.
    """
    try:
        return dump(Shipped(function, dict(_cell_sources(function))), max_capture)
    except _OverLimit:
        raise TooLarge(_largest_capture(function, max_capture)) from None
    except Exception as error:
        raise CannotPickle(_unpicklable_capture(function, error)) from error


def pack_arguments(value: Any, names: Iterable[str], whole: str) -> bytes:
    """The arguments of one partition.

    Raises CannotPickle, naming the culprit by the one of ``names`` that belongs to its
    entry ("item 17"), or ``whole`` when the value has no entries.
    """
    try:
        return dump(value)
    except Exception as error:
        entries = _entries(value)
        for name, entry in zip(names, entries, strict=False):
            try:
                dump(entry)
            except Exception as why:
                raise CannotPickle(f"{name} ({_type_name(entry)}) cannot be pickled: {_reason(why)}") from error
        raise CannotPickle(f"{whole} ({_type_name(value)}) cannot be pickled: {_reason(error)}") from error


def pack_checkpoint(value: Any, limit: int) -> bytes:
    """What a function saves for its next attempt.  Raises CannotPickle or TooLarge."""
    try:
        return dump(value, limit)
    except _OverLimit:
        raise TooLarge(
            f"the checkpoint ({_type_name(value)}) is larger than max_result ({format_size(limit)}); "
            "write it to a file and save its path, or raise max_result"
        ) from None
    except Exception as error:
        raise CannotPickle(f"the checkpoint ({_type_name(value)}) cannot be pickled: {_reason(error)}") from error


def _entries(value: Any) -> Iterable[Any]:
    """What a value consists of: the entries of a list, or the arguments of a call."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple) and isinstance(value[1], dict):
        return [*value[0], *value[1].values()]
    return value if isinstance(value, (list, tuple)) else []


def unpack(body: bytes, what: str) -> Any:
    """The object behind checked bytes.  Raises PayloadError when it cannot be rebuilt here."""
    with rebuilding(what):
        return load(body)


@contextlib.contextmanager
def rebuilding(what: str) -> Iterator[None]:
    """Whatever goes wrong while objects are rebuilt is a PayloadError that names ``what``."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what is rebuilt may well call sys.exit()
        raise PayloadError(
            f"{what} cannot be rebuilt here: {_reason(error)}; is the same package installed on both sides?"
        ) from error


def pack_values(values: Sequence[Any], limit: int) -> tuple[bytes | None, dict[int, str]]:
    """Pickle a partition's values; (bytes, {}) or, for values that cannot travel, (bytes, {place: why}).

    Values that cannot be pickled, or not be read back, are replaced by None and named.
    Bytes are None when the rest is above ``limit`` bytes.
    """
    kept = list(values)
    try:
        body = dump(kept, limit)
        _reread(kept, body)
    except _OverLimit:
        return None, {}
    except BaseException:  # a value may well call sys.exit() when it is pickled or rebuilt
        bad = dict(_bad_values(kept))
        for place in bad:
            kept[place] = None
        try:
            return dump(kept, limit), bad
        except _OverLimit:
            return None, bad
        except BaseException as error:  # each travels alone but not together: name the first
            return dump([None] * len(kept)), dict.fromkeys(range(len(kept)), _reason(error)) | bad
    return body, {}


def too_large(values: Sequence[Any], limit: int) -> set[int]:
    """The places of values that are above ``limit`` bytes by themselves."""
    return {place for place, value in enumerate(values) if _is_too_large(value, limit)}


def _is_too_large(value: Any, limit: int) -> bool:
    try:
        dump([value], limit)
    except _OverLimit:
        return True
    except BaseException:  # it is named as one that cannot be pickled
        return False
    return False


def _reread(values: list[Any], body: bytes) -> None:
    """Values that pickle but do not come back must be found here, not in the reader's kernel."""
    if len(body) < _REREAD_BELOW and not is_plain(values):
        load(body)


def _bad_values(values: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for place, value in enumerate(values):
        try:
            _reread([value], dump([value]))
        except BaseException as error:
            yield place, f"the result ({_type_name(value)}) cannot be pickled: {_reason(error)}"


def by_reference(value: Any) -> bool:
    """Whether a function or class travels as a name to import, and not with its code."""
    module = getattr(value, "__module__", None)
    if module in (None, "__main__") or module not in sys.modules:
        return False
    if any(module == one or module.startswith(f"{one}.") for one in cloudpickle.list_registry_pickle_by_value()):
        return False
    found: Any = sys.modules[module]
    for name in value.__qualname__.split("."):
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


# --- naming the culprit ----------------------------------------------------


def captured(function: Callable[..., Any]) -> dict[str, Any]:
    """The notebook's names that a function refers to, and its closure, by name."""
    code = getattr(function, "__code__", None)
    if code is None:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is not None:
            given = dict(enumerate(getattr(function, "args", ()))) | getattr(function, "keywords", {})
            return captured(inner) | {f"argument {name}": value for name, value in given.items()}
        return dict(vars(function)) if hasattr(function, "__dict__") else {}
    found = {name: function.__globals__[name] for name in _names(code) if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # an empty cell: the name was never assigned
            continue
    for place, default in enumerate(function.__defaults__ or ()):
        found.setdefault(f"default {place + 1}", default)
    for name, default in (function.__kwdefaults__ or {}).items():
        found.setdefault(f"default {name}", default)
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _largest_capture(function: Callable[..., Any], limit: int) -> str:
    sizes = {name: _size(value, limit) for name, value in captured(function).items()}
    cure = "pass it through a file or a database instead, or raise the limit with max_capture (--max-capture 2GB)"
    if not sizes:
        return f"the function is larger than max_capture ({format_size(limit)}); {cure}"
    name = max(sizes, key=lambda one: sizes[one])
    kind = _type_name(captured(function)[name])
    return (
        f"captured {name!r} ({kind}, {format_size(sizes[name])}) exceeds max_capture ({format_size(limit)}); {cure}"
        if sizes[name] > limit
        else f"what the function captured exceeds max_capture ({format_size(limit)}), "
        f"the largest being {name!r} ({kind}, {format_size(sizes[name])}); {cure}"
    )


def _size(value: Any, limit: int) -> int:
    told = getattr(value, "nbytes", None)
    if isinstance(told, int):
        return told
    memory = getattr(value, "memory_usage", None)
    if callable(memory):
        try:
            return int(sum(memory(deep=True))) if value.ndim > 1 else int(memory(deep=True))
        except Exception:
            return limit + 1
    try:
        return len(dump(value, 4 * limit))
    except _OverLimit:
        return 4 * limit
    except Exception:
        return sys.getsizeof(value)


def _unpicklable_capture(function: Callable[..., Any], error: Exception) -> str:
    for name, value in captured(function).items():
        try:
            dump(value)
        except Exception as why:
            return (
                f"captured {name!r} ({_type_name(value)}) cannot be sent to a node: {_reason(why)}; "
                "make it inside the function instead"
            )
    return f"{getattr(function, '__name__', 'the function')} cannot be sent to a node: {_reason(error)}"


def _type_name(value: Any) -> str:
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def format_size(size: int) -> str:
    """Bytes as people write them: 64 MB."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size} bytes"


# --- source lines for remote tracebacks ---------------------------------------


def _cell_sources(function: Any, seen: set[int] | None = None) -> Iterator[tuple[str, str]]:
    """Source text of every notebook cell that the function, or a function it captured, came from."""
    seen = set() if seen is None else seen
    code = getattr(function, "__code__", None)
    if code is None or id(function) in seen:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if code is None and inner is not None:
            yield from _cell_sources(inner, seen)
        return
    seen.add(id(function))
    name = code.co_filename
    # Installed modules are found on the node's own disk; only cells have nothing but this text.
    if getattr(function, "__module__", None) in (None, "__main__") or name.startswith("<"):
        lines = linecache.getlines(name)
        if lines:
            yield name, "".join(lines)
    for value in captured(function).values():
        if isinstance(value, types.FunctionType):
            yield from _cell_sources(value, seen)


def install_sources(sources: dict[str, str]) -> None:
    """Make tracebacks of shipped functions show their lines."""
    for name, text in sources.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
