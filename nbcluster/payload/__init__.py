"""What crosses between kernel and child: functions, arguments and values as bytes.  The only room that pickles.

The kernel packs a function with everything it captured (functions of a notebook
travel by value) and the source lines its tracebacks need; a child unpacks it
once and keeps it.  Values come back the same way.  The node passes bytes on and
opens none of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from nbcluster.errors import CannotPickle, FileChanged, FileNotSeen, PayloadError, TooLarge
from nbcluster.payload.bundles import Bundle as Bundle
from nbcluster.payload.bundles import unpack_modules as unpack_modules
from nbcluster.payload.bundles import use as use
from nbcluster.payload.bundles import using as using
from nbcluster.payload.captures import Capture as Capture
from nbcluster.payload.captures import captured as captured
from nbcluster.payload.captures import captures_of as captures_of
from nbcluster.payload.captures import format_size as format_size
from nbcluster.payload.captures import global_names as global_names
from nbcluster.payload.captures import largest_capture, reason, type_name, unpicklable_capture
from nbcluster.payload.captures import packages_of as packages_of
from nbcluster.payload.framing import Body as Body
from nbcluster.payload.framing import Packed as Packed
from nbcluster.payload.framing import load as load
from nbcluster.payload.framing import pack as pack
from nbcluster.payload.framing import packed as packed
from nbcluster.payload.modules import Modules, texts_of
from nbcluster.payload.modules import by_value as by_value
from nbcluster.payload.modules import in_place as in_place
from nbcluster.payload.modules import modules_named as modules_named
from nbcluster.payload.modules import modules_of as modules_of
from nbcluster.payload.pickling import Buffer as Buffer
from nbcluster.payload.pickling import Cached as Cached
from nbcluster.payload.pickling import OverLimit as OverLimit
from nbcluster.payload.pickling import by_reference as by_reference
from nbcluster.payload.pickling import content as content
from nbcluster.payload.pickling import dump as dump
from nbcluster.payload.pickling import imports_in as imports_in
from nbcluster.payload.pickling import is_plain as is_plain
from nbcluster.payload.pickling import noticing as noticing
from nbcluster.payload.pickling import reduced as reduced
from nbcluster.payload.pickling import travelling as travelling
from nbcluster.payload.sources import cell_sources
from nbcluster.payload.sources import install_sources as install_sources

ITEMS, STAR, PARTITION, CALL = "items", "star", "partition", "call"
"""How a child calls the function: per item, per item as arguments, once with the part, once with (args, kwargs)."""

VALUES, OUTCOME = "values", "outcome"
"""Once with every value of an earlier step, in input order; once with how the job ended."""

_REREAD_BELOW = 1_000_000


@dataclass(frozen=True, slots=True)
class Shipped:
    """A function as a child gets it: itself, and the source texts of its cells by file name."""

    function: Callable[..., Any]
    sources: dict[str, str]
    modules: dict[str, ModuleType] = field(default_factory=dict)
    """Modules that came with it, by name; see ``in_place``."""
    into: Any = None
    """The table that its values are rows of; None when they are values."""

    def __getstate__(self) -> list[Any]:
        fields = [self.function, self.sources, self.modules, self.into]
        while len(fields) > 2 and not fields[-1]:
            fields.pop()
        return fields

    def __setstate__(self, state: list[Any]) -> None:
        # What is empty does not travel; a function that was stored by an earlier version has fewer fields.
        given = [*state, *[None] * 4][:4]
        for name, value in zip(("function", "sources", "modules", "into"), given, strict=True):
            object.__setattr__(self, name, {} if name == "modules" and value is None else value)


def pack_function(
    function: Callable[..., Any], max_capture: int, modules: Modules | None = None, into: Any = None
) -> bytes:
    """A function with what it captured, its cells' source, these modules, and the table that takes its rows.

    Raises CannotPickle or TooLarge, naming the captured object that is the cause.
    """
    shipped = dict(modules or {})
    with by_value(shipped):
        try:
            sources = dict(cell_sources(function)) | texts_of(shipped)
            return pack(Shipped(function, sources, shipped, into), max_capture).body()
        except OverLimit:
            raise TooLarge(largest_capture(function, max_capture)) from None
        except Exception as error:
            raise CannotPickle(unpicklable_capture(function, error)) from error


def pack_arguments(value: Any, names: Iterable[str], whole: str) -> Packed:
    """The arguments of one partition.

    Raises CannotPickle, naming the culprit by the one of ``names`` that belongs to its
    entry ("item 17"), or ``whole`` when the value has no entries.
    """
    try:
        return pack(value)
    except Exception as error:
        entries = _entries(value)
        for name, entry in zip(names, entries, strict=False):
            try:
                dump(entry)
            except Exception as why:
                raise CannotPickle(f"{name} ({type_name(entry)}) cannot be pickled: {reason(why)}") from error
        raise CannotPickle(f"{whole} ({type_name(value)}) cannot be pickled: {reason(error)}") from error


def pack_checkpoint(value: Any, limit: int) -> bytes:
    """What a function saves for its next attempt.  Raises CannotPickle or TooLarge."""
    try:
        return dump(value, limit)
    except OverLimit:
        raise TooLarge(
            f"the checkpoint ({type_name(value)}) is larger than max_result ({format_size(limit)}); "
            "write it to a file and save its path, or raise max_result"
        ) from None
    except Exception as error:
        raise CannotPickle(f"the checkpoint ({type_name(value)}) cannot be pickled: {reason(error)}") from error


def _entries(value: Any) -> Iterable[Any]:
    """What a value consists of: the entries of a list, or the arguments of a call."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple) and isinstance(value[1], dict):
        return [*value[0], *value[1].values()]
    return value if isinstance(value, (list, tuple)) else []


def unpack(body: Body, what: str) -> Any:
    """The object behind checked bytes.  Raises PayloadError when it cannot be rebuilt here.

    Its large arrays are views of ``body`` where that may be written to; else copies.
    """
    with rebuilding(what):
        return load(body)


@contextlib.contextmanager
def rebuilding(what: str) -> Iterator[None]:
    """Whatever goes wrong while objects are rebuilt is a PayloadError that names ``what``.

    A file of the input that is not here speaks for itself.
    """
    try:
        yield
    except (KeyboardInterrupt, FileNotSeen, FileChanged):
        raise
    except BaseException as error:  # what is rebuilt may well call sys.exit()
        raise PayloadError(
            f"{what} cannot be rebuilt here: {reason(error)}; is the same package installed on both sides?"
        ) from error


def pack_values(values: Sequence[Any], limit: int) -> tuple[Packed | None, dict[int, str]]:
    """Pack a partition's values; (bytes, {}) or, for values that cannot travel, (bytes, {place: why}).

    Values that cannot be pickled, or not be read back, are replaced by None and named.
    Bytes are None when the rest is above ``limit`` bytes.
    """
    kept = list(values)
    try:
        body = pack(kept, limit)
        _reread(kept, body)
    except OverLimit:
        return None, {}
    except BaseException:  # a value may well call sys.exit() when it is pickled or rebuilt
        bad = dict(_bad_values(kept))
        for place in bad:
            kept[place] = None
        try:
            return pack(kept, limit), bad
        except OverLimit:
            return None, bad
        except BaseException as error:  # each travels alone but not together: name the first
            return pack([None] * len(kept)), dict.fromkeys(range(len(kept)), reason(error)) | bad
    return body, {}


def too_large(values: Sequence[Any], limit: int) -> set[int]:
    """The places of values that are above ``limit`` bytes by themselves."""
    return {place for place, value in enumerate(values) if _is_too_large(value, limit)}


def _is_too_large(value: Any, limit: int) -> bool:
    try:
        pack([value], limit)
    except OverLimit:
        return True
    except BaseException:  # it is named as one that cannot be pickled
        return False
    return False


def _reread(values: list[Any], body: Packed) -> None:
    """Values that pickle but do not come back must be found here, not in the reader's kernel."""
    if sum(map(len, body.stream)) < _REREAD_BELOW and not is_plain(values):
        body.load()


def _bad_values(values: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for place, value in enumerate(values):
        try:
            _reread([value], pack([value]))
        except BaseException as error:
            yield place, f"the result ({type_name(value)}) cannot be pickled: {reason(error)}"
