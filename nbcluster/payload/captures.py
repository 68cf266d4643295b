"""What a function captured: by name, with its size; and the one of it that is to blame."""

from __future__ import annotations

import dis
import marshal
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbcluster.payload.pickling import OverLimit, by_reference, dump, imports_in, travelling


def captured(function: Any) -> dict[str, Any]:
    """What a function, or a class of the notebook, takes with it, by name.

    The notebook's names that it refers to, its closure, its defaults; the arguments of a
    partial one, the object of a method, the attributes of an object that is called.
    """
    if isinstance(function, types.MethodType):
        return captured(function.__func__) | _attributes(function.__self__, "self.")
    if isinstance(function, type):
        content = {name: getattr(one, "__func__", one) for name, one in vars(function).items()}
        return {name: one for name, one in content.items() if isinstance(one, types.FunctionType) or _is_own(name, one)}
    code = getattr(function, "__code__", None)
    if code is None:
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        if inner is not None:
            given = dict(enumerate(getattr(function, "args", ()))) | getattr(function, "keywords", {})
            return captured(inner) | {f"argument {name}": value for name, value in given.items()}
        if by_reference(function):  # a built-in one
            return {}
        return _attributes(function, "")
    found = {name: function.__globals__[name] for name in global_names(code) if name in function.__globals__}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # an empty cell: the name was never assigned
            continue
    defaults = function.__defaults__ or ()
    with_default = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    for name, default in [*zip(with_default, defaults, strict=True), *(function.__kwdefaults__ or {}).items()]:
        found.setdefault(f"default of {name}", default)
    return found


def _attributes(value: Any, before: str) -> dict[str, Any]:
    """What an object consists of, and its class if that is the notebook's."""
    found = dict(vars(value)) if hasattr(value, "__dict__") else {}
    slots = (name for one in type(value).__mro__ for name in _slots(one) if not name.startswith("__"))
    found |= {name: getattr(value, name) for name in slots if hasattr(value, name)}
    own = {} if by_reference(type(value)) else {type(value).__name__: type(value)}
    return {f"{before}{name}": one for name, one in found.items()} | own


def _is_own(name: str, value: Any) -> bool:
    """Whether a class has this from its author, and not from the making of it."""
    made = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return not name.startswith("__") and not isinstance(value, made)


def _slots(one: type) -> Sequence[str]:
    slots = vars(one).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}


def global_names(code: types.CodeType) -> dict[str, None]:
    """The global names that a function's instructions use, those of the functions in it included; in order."""
    found = {str(one.argval): None for one in dis.get_instructions(code) if one.opname in _GLOBAL}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= global_names(constant)
    return found


@dataclass(frozen=True, slots=True)
class Capture:
    """An object that travels with a function: its name there, its type, and its size in bytes."""

    name: str
    kind: str
    size: int


def captures_of(function: Callable[..., Any], limit: int) -> list[Capture]:
    """What travels with a function, the largest first; what a function of the notebook captured by its own name."""
    found = _captures(function, limit, {id(function)}, "")
    return sorted(found, key=lambda one: (-one.size, one.name))


def _captures(function: Any, limit: int, seen: set[int], inside: str) -> Iterator[Capture]:
    for name, value in captured(function).items():
        if id(value) in seen or _is_imported(value):
            continue
        seen.add(id(value))
        shown = f"{name} (in {inside})" if inside else name
        if not isinstance(value, (types.FunctionType, types.MethodType, type)):
            yield Capture(shown, type_name(value), _size(value, limit))
            continue
        is_method = isinstance(function, type)
        yield from _captures(value, limit, seen, inside if is_method else name)
        if not is_method:
            yield Capture(shown, type_name(value), _code_size(value))


def _code_size(value: Any) -> int:
    """The size of a function or a class by itself, without what it captured."""
    if isinstance(value, type):
        return sum(_code_size(one) for one in captured(value).values() if isinstance(one, types.FunctionType))
    return len(marshal.dumps(value.__code__))


def _is_imported(value: Any) -> bool:
    """Whether a node imports it: it is a module that stays here, or is named by one."""
    return value.__name__ not in travelling if isinstance(value, types.ModuleType) else by_reference(value)


def packages_of(function: Callable[..., Any], seen: set[int] | None = None) -> set[str]:
    """The packages outside of the standard library that a function, with what it captured, imports wherever it runs."""
    seen = set() if seen is None else seen
    seen.add(id(function))
    code = getattr(function, "__code__", None)
    found = {name.partition(".")[0] for name in imports_in(code)} if code is not None else set()
    for value in captured(function).values():
        if isinstance(value, types.FunctionType) and not by_reference(value):
            found |= packages_of(value, seen) if id(value) not in seen else set()
        elif _is_imported(value):
            name = value.__name__ if isinstance(value, types.ModuleType) else str(value.__module__)
            found.add(name.partition(".")[0])
        elif by_reference(type(value)):  # a frame needs pandas to be rebuilt
            found.add(type(value).__module__.partition(".")[0])
    return found - sys.stdlib_module_names - {"nbcluster"}  # which every node is


def largest_capture(function: Callable[..., Any], limit: int) -> str:
    """Which captured object makes a function too large to travel."""
    cure = (
        "share it instead (big = nc.share(...), then big.value in the function), or raise the limit with max_capture "
        "(--max-capture 2GB)"
    )
    largest = next(iter(captures_of(function, limit)), None)
    if largest is None:
        return f"the function is larger than max_capture ({format_size(limit)}); {cure}"
    told = f"({largest.kind}, {format_size(largest.size)})"
    return (
        f"captured {largest.name!r} {told} exceeds max_capture ({format_size(limit)}); {cure}"
        if largest.size > limit
        else f"what the function captured exceeds max_capture ({format_size(limit)}), "
        f"the largest being {largest.name!r} {told}; {cure}"
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
    except OverLimit:
        return 4 * limit
    except Exception:
        return sys.getsizeof(value)


def unpicklable_capture(function: Callable[..., Any], error: Exception) -> str:
    """Which captured object cannot travel."""
    for name, value in captured(function).items():
        try:
            dump(value)
        except Exception as why:
            return (
                f"captured {name!r} ({type_name(value)}) cannot be sent to a node: {reason(why)}; "
                "make it inside the function instead"
            )
    return f"{getattr(function, '__name__', 'the function')} cannot be sent to a node: {reason(error)}"


def type_name(value: Any) -> str:
    """The type of an object, with its module unless that says nothing."""
    kind = type(value)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def reason(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def format_size(size: int) -> str:
    """Bytes as people write them: 64 MB."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size} bytes"
