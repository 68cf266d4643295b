"""Modules as one archive, and importing from it.

The archive is the same bytes for the same texts, so that it is stored once.  Whoever
runs a function that came with one imports these modules from it and from nowhere else,
and another version of them is out of sight meanwhile: two jobs never mix.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import io
import os
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

_DATE = (1980, 1, 1, 0, 0, 0)
_PACKAGE = "/__init__.py"


@dataclass(frozen=True, slots=True)
class ModuleText:
    """A module by its import name: the file it was read from, and what stands in it."""

    name: str
    file: str
    package: bool
    text: bytes


def pack_modules(texts: Iterable[ModuleText]) -> bytes:
    """One archive of these modules, whatever their order."""
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for one in sorted(texts, key=lambda text: text.name):
            path = one.name.replace(".", "/") + (_PACKAGE if one.package else ".py")
            entry = zipfile.ZipInfo(path, _DATE)
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            # Where it lies: what the module reads beside itself is found by a node that sees that folder.
            entry.comment = os.fsencode(one.file)
            archive.writestr(entry, one.text)
    return buffer.getvalue()


def unpack_modules(body: bytes, file: str | None = None) -> Bundle:
    """The modules of checked bytes, which also lie in ``file``.  Raises zipfile.BadZipFile for what is no archive."""
    import zipfile

    texts = []
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for entry in archive.infolist():
            package = entry.filename.endswith(_PACKAGE)
            name = entry.filename.removesuffix(_PACKAGE if package else ".py").replace("/", ".")
            texts.append(ModuleText(name, os.fsdecode(entry.comment), package, archive.read(entry)))
    return Bundle(texts, file)


class Bundle:
    """Modules that came with a function; a finder for ``sys.meta_path`` while they are in use.

    Each is run once, when it is first imported, and kept when another bundle takes its place.
    ``file`` is the archive itself: processes that are started meanwhile, as multiprocessing
    does, get it with this one's path, and import from there.
    """

    def __init__(self, texts: Iterable[ModuleText], file: str | None = None) -> None:
        self._file = file
        self.texts = {one.name: one for one in texts}
        self._tops = frozenset(_top(name) for name in self.texts)
        self._folders = dict(self._above())
        self._loaded: dict[str, types.ModuleType] = {}
        self._before: dict[str, types.ModuleType] = {}

    def _above(self) -> Iterator[tuple[str, str]]:
        """The packages without a text of their own, each with its folder."""
        for one in self.texts.values():
            name, folder = one.name, os.path.dirname(one.file)
            folder = os.path.dirname(folder) if one.package else folder
            while "." in name:
                name = name.rpartition(".")[0]
                if name not in self.texts:
                    yield name, folder
                folder = os.path.dirname(folder)

    # --- what Python's import asks ----------------------------------------------

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module of that name, if it is one of these."""
        if fullname in self._folders:
            spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [self._folders[fullname]]
            return spec
        one = self.texts.get(fullname)
        if one is None:
            return None
        loader = cast("Loader", _Loader(one))  # importlib.abc is not imported: a child's start is felt
        spec = importlib.machinery.ModuleSpec(fullname, loader, origin=one.file, is_package=one.package)
        spec.has_location = True
        if one.package:
            spec.submodule_search_locations = [os.path.dirname(one.file)]
        return spec

    # --- taking turns -------------------------------------------------------------

    def take_place(self) -> None:
        """From now on imports find these modules, and those of the same names are put away."""
        import linecache

        self._before = self._taken_out()
        sys.modules.update(self._loaded)
        sys.meta_path.insert(0, self)
        if self._file is not None:
            sys.path.append(self._file)
        for one in self.texts.values():
            lines = _decoded(one.text).splitlines(keepends=True)
            linecache.cache[one.file] = (len(one.text), None, lines, one.file)

    def leave_place(self) -> None:
        """Give their names back to whoever had them."""
        import linecache

        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        sys.path[:] = [entry for entry in sys.path if entry != self._file]
        self._loaded = self._taken_out()
        sys.modules.update(self._before)
        self._before = {}
        for one in self.texts.values():
            linecache.cache.pop(one.file, None)

    def _taken_out(self) -> dict[str, types.ModuleType]:
        names = [name for name in list(sys.modules) if _top(name) in self._tops]
        return {name: sys.modules.pop(name) for name in names}


class _Loader:
    """Runs the text of one module."""

    def __init__(self, one: ModuleText) -> None:
        self._one = one

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """The usual kind of module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill it."""
        code = compile(self._one.text, self._one.file, "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 -- this is what an import is

    def get_filename(self, _name: str) -> str:
        """Where it was read."""
        return self._one.file

    def is_package(self, _name: str) -> bool:
        """Whether modules may lie below it."""
        return self._one.package

    def get_source(self, _name: str) -> str:
        """Its text."""
        return _decoded(self._one.text)


_in_use: Bundle | None = None


def use(bundle: Bundle | None) -> None:
    """From now on imports find the modules of ``bundle``; with None those that this process has itself."""
    global _in_use
    if bundle is _in_use:
        return
    if _in_use is not None:
        _in_use.leave_place()
    _in_use = bundle
    if bundle is not None:
        bundle.take_place()


@contextlib.contextmanager
def using(bundle: Bundle | None) -> Iterator[None]:
    """While it lasts, imports find the modules of ``bundle``."""
    before = _in_use
    use(bundle)
    try:
        yield
    finally:
        use(before)


def _decoded(text: bytes) -> str:
    import importlib.util

    try:
        return importlib.util.decode_source(text)
    except (SyntaxError, UnicodeDecodeError):  # importing it will say so
        return text.decode("utf-8", "replace")


def _top(name: str) -> str:
    return name.partition(".")[0]
