"""Modules that lie beside the notebook: which of them a function needs, and their texts as they are in the files now.

A module travels when its file is below the folder in which this process works, or was
started, or the script lies, and is not part of an installed library.  With it go the
modules that its text imports, wherever in the text; of a package that imports by names
which it makes up, all modules.  The node needs none of them, and data files stay here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
import types
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nbcluster.payload.bundles import Bundle, ModuleText, pack_modules

_NEVER = frozenset({"__main__", "nbcluster"})
_MAKES_NAMES_UP = frozenset({"import_module", "__import__", "iter_modules", "walk_packages"})
_installed = set(_NEVER)
"""Packages and modules that never travel, so that most jobs are looked at no further."""

_LIBRARIES = frozenset({"site-packages", "dist-packages"})


class BundledFile(NamedTuple):
    """A module that travels: its import name, its file, and the size of its text in bytes."""

    name: str
    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Bundled:
    """An archive of modules with its content hash.

    ``changed`` names those whose file is newer than what this process imported.
    """

    id: str
    body: bytes
    files: tuple[BundledFile, ...]
    changed: tuple[str, ...] = ()


def bundled(names: Iterable[str], without: Collection[str] = ()) -> Bundled | None:
    """The modules beside the notebook that come with these names; None when there are none.

    ``names`` are modules that something refers to, wherever they are from; packages in
    ``without`` stay out of it.
    """
    found = beside(names, without)
    if not found:
        return None
    changed = tuple(one.name for one in found if _changed(one))
    return _archive(tuple(found), changed)


@lru_cache(maxsize=8)
def _archive(found: tuple[_Found, ...], changed: tuple[str, ...]) -> Bundled:
    texts = [ModuleText(one.name, one.file, one.package, one.read.text) for one in found]
    body = pack_modules(texts)
    files = tuple(BundledFile(one.name, one.file, len(one.text)) for one in texts)
    return Bundled(hashlib.sha256(body).hexdigest(), body, files, changed)


def digest_of(names: Iterable[str]) -> bytes:
    """One digest of the texts of the modules beside the notebook that come with these names; empty without any."""
    found = beside(names)
    if not found:
        return b""
    told = hashlib.sha256()
    for one in found:
        told.update(f"{one.name}\0{len(one.read.text)}\0".encode())
        told.update(one.read.text)
    return told.digest()


def packages_beside(names: Iterable[str]) -> set[str]:
    """The installed packages that the modules that come with these names import."""
    tops = {name.partition(".")[0] for one in beside(names) for name in _imports_of(one)} - sys.stdlib_module_names
    places = {top: _located(top) for top in tops}
    return {top for top, place in places.items() if place is not None and _is_installed(place.file)}


def same_here(bundle: Bundle) -> bool:
    """Whether this process would import the very texts of a bundle, and has imported no others."""
    for name, theirs in bundle.texts.items():
        mine = _located(name)
        read = _read(mine.file) if mine is not None and mine.file == theirs.file else None
        if mine is None or read is None or read.text != theirs.text:
            return False
        if _changed(_Found(name, mine.file, mine.package, read)):
            return False
    return True


# --- which -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """A text with what it imports: each name with its level, and whether it makes names up."""

    signature: tuple[int, int]
    text: bytes
    imports: tuple[tuple[int, str], ...] = ()
    makes_names_up: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    package: bool


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    file: str
    package: bool
    read: _Read


def beside(names: Iterable[str], without: Collection[str] = ()) -> list[_Found]:
    """The modules that come with these names, by name."""
    names = [name for name in names if name.partition(".")[0] not in _installed]
    found: dict[str, _Found] = {}
    looked: set[str] = set()
    tops: dict[str, bool] = dict.fromkeys(without, False)
    waiting = [part for name in names for part in _with_those_above(name)]
    while waiting:
        name = waiting.pop()
        if name in looked or not _may_travel(name, tops):
            continue
        looked.add(name)
        place = _located(name)
        read = _read(place.file) if place is not None and is_local(place.file) else None
        if place is None or read is None:
            continue
        found[name] = one = _Found(name, place.file, place.package, read)
        waiting += (part for other in _imports_of(one) for part in _with_those_above(other))
    return [found[name] for name in sorted(found)]


def _with_those_above(name: str) -> Iterator[str]:
    """A module and the packages that hold it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _may_travel(name: str, tops: dict[str, bool]) -> bool:
    """Whether the package or module at its top lies beside the notebook; most do not, and are asked for once."""
    top = name.partition(".")[0]
    if top not in tops:
        tops[top] = top not in _installed and _is_beside(top)
    return tops[top]


def _is_beside(top: str) -> bool:
    place = _located(top)
    if top in sys.modules and (_is_installed(place.file) if place is not None else not _folders_of(top)):
        _installed.add(top)
        return False
    if place is not None:
        return is_local(place.file)
    return any(is_local(os.path.join(folder, "")) for folder in _folders_of(top))


def _imports_of(one: _Found) -> Iterator[str]:
    """What a module's text imports, by whole names."""
    package = one.name if one.package else one.name.rpartition(".")[0]
    for level, name in one.read.imports:
        if not level:
            yield name
            continue
        above = package.split(".")[: len(package.split(".")) - level + 1] if package else []
        if above:
            yield ".".join([*above, *([name] if name else [])])
    if one.read.makes_names_up and package:
        yield from _all_of(package)


def _all_of(package: str) -> Iterator[str]:
    """Every module of a package, by the files in its folder."""
    for top in _folders_of(package):
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
            inner = os.path.relpath(folder, top)
            within = package if inner == "." else f"{package}.{inner.replace(os.sep, '.')}"
            for file in sorted(files):
                stem, dot_py = os.path.splitext(file)
                if dot_py == ".py" and stem.isidentifier() and stem != "__init__":
                    yield f"{within}.{stem}"


# --- where ---------------------------------------------------------------------------------


def _located(name: str) -> _Place | None:
    """The Python file of a module, imported or not; None without one."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return _Place(file, hasattr(loaded, "__path__")) if isinstance(file, str) and file.endswith(".py") else None
    top, _, below = name.rpartition(".")
    if top:
        return next((place for folder in _folders_of(top) if (place := _place_in(folder, below))), None)
    spec = _spec(name)
    if spec is None or not spec.has_location or not str(spec.origin).endswith(".py"):
        return None
    return _Place(str(spec.origin), spec.submodule_search_locations is not None)


def _place_in(folder: str, name: str) -> _Place | None:
    """The file of a module in the folder of its package."""
    package, module = os.path.join(folder, name, "__init__.py"), os.path.join(folder, f"{name}.py")
    if os.path.isfile(package):
        return _Place(package, package=True)
    return _Place(module, package=False) if os.path.isfile(module) else None


def _spec(top: str) -> importlib.machinery.ModuleSpec | None:
    """Where an import would find a module that is in no package.  Imports nothing."""
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):  # a finder of somebody else's, or a module without a spec
        return None


def _folders_of(package: str) -> list[str]:
    """The folders in which the modules of a package lie; none for what is no package."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        return [str(folder) for folder in getattr(loaded, "__path__", [])]
    above, _, name = package.rpartition(".")
    if above:
        return [inner for folder in _folders_of(above) if os.path.isdir(inner := os.path.join(folder, name))]
    spec = _spec(package)
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def is_local(file: str) -> bool:
    """Whether a file lies beside the notebook and belongs to no library."""
    return _is_local(file, _roots())


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return None


_STARTED_IN = _working_folder()


def _roots() -> tuple[str, ...]:
    """The folder of the notebook or script: as it was at the start, as it is now, as the imports go."""
    now = _working_folder()
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    script = os.path.dirname(os.path.join(_STARTED_IN or "", main)) if main else None
    first = sys.path[0] if sys.path and sys.path[0] else None
    return tuple(dict.fromkeys(root for root in (_STARTED_IN, now, first, script) if root))


@lru_cache(maxsize=4096)
def _is_local(file: str, roots: tuple[str, ...]) -> bool:
    if _is_installed(file):
        return False
    path = Path(file).resolve()
    known = (Path(root).resolve() for root in roots)
    return any(path.is_relative_to(root) for root in known if root != Path(root.anchor))


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    """Whether a file is part of a library, wherever that lies."""
    path = Path(file).resolve()
    return bool(_LIBRARIES.intersection(path.parts)) or any(
        path.is_relative_to(folder) for folder in _library_folders()
    )


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({str(Path(paths[name]).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


# --- texts ------------------------------------------------------------------------------------

_texts: dict[str, _Read] = {}


def _read(file: str) -> _Read | None:
    """A file's text; read and parsed again when it was changed.  None when it is gone: the node says what it lacks."""
    try:
        status = os.stat(file)
        signature = (status.st_mtime_ns, status.st_size)
        known = _texts.get(file)
        if known is not None and known.signature == signature:
            return known
        text = Path(file).read_bytes()
    except OSError:
        return None
    _texts[file] = read = _parsed(signature, text)
    return read


def _parsed(signature: tuple[int, int], text: bytes) -> _Read:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # whoever imports it is told
        return _Read(signature, text)
    names: dict[tuple[int, str], None] = {}
    said: dict[tuple[int, str], None] = {}
    up = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(0, alias.name): None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            several = [".".join(filter(None, (base, alias.name))) for alias in node.names if alias.name != "*"]
            names |= {(node.level, name): None for name in (base, *several) if name or node.level}
            up |= any(alias.name == "*" for alias in node.names) and node.level > 0
        elif isinstance(node, (ast.Name, ast.Attribute)):
            up |= (node.id if isinstance(node, ast.Name) else node.attr) in _MAKES_NAMES_UP
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            said[0, node.value] = None
    if up:  # a name that is a whole module's may well be what it imports
        names |= said
    return _Read(signature, text, tuple(names), up)


# --- is it what was imported? --------------------------------------------------------------------

_seen: dict[str, tuple[object, tuple[int, int] | None]] = {}


def _changed(one: _Found) -> bool:
    """Whether the file was changed since this process imported it: nodes get what is in the file."""
    module = sys.modules.get(one.name)
    if module is None:
        return False
    known = _seen.get(one.name)
    # An import that is repeated, by hand or by %autoreload, gives the module another spec.
    if known is None or known[0] is not module.__spec__:
        fresh = not _compiled_before(module, one.read.signature)
        _seen[one.name] = known = (module.__spec__, one.read.signature if fresh else None)
    return known[1] != one.read.signature


def _compiled_before(module: types.ModuleType, signature: tuple[int, int]) -> bool:
    """Whether Python compiled an older text of it, and none since."""
    cached = getattr(module.__spec__, "cached", None)
    if not cached or sys.dont_write_bytecode or not os.access(os.path.dirname(cached), os.W_OK):
        return False
    try:
        with open(cached, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    if len(head) < 16 or head[4:8] != b"\0\0\0\0":  # not told by time
        return False
    mtime, size = int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:16], "little")
    return (mtime, size) != (signature[0] // 10**9 & 0xFFFFFFFF, signature[1] & 0xFFFFFFFF)
