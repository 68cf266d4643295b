"""Slices of CSV files, of whole records each; read where they arrive."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Nodes, Part, Partitioner, several
from nbcluster.partitioners.handle import Handle
from nbcluster.partitioners.lines import CsvFormat, cuts, header_of
from nbcluster.partitioners.paths import Patterns, names_of
from nbcluster.partitioners.sight import SeenFile

if TYPE_CHECKING:
    import pandas

WHO = "nb.csv"
_COMPRESSED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"PK\x03\x04": "zip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4", b"\x1f\x9d": "compress", b"7z\xbc\xaf\x27\x1c": "7z",
}  # fmt: skip
_ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".zip": "zip", ".xz": "xz", ".zst": "zstd", ".lz4": "lz4", ".7z": "7z"}
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_QUOTE_NONE = 3


@dataclass(frozen=True)
class CsvPart(Handle):
    """The records of a CSV file from byte ``start`` up to ``stop``, and its header.

    ``read()`` gives them as a DataFrame, ``lines()`` as text, ``open()`` as a binary file with the header in front.
    """

    file: SeenFile
    name: str
    place: int
    start: int
    stop: int
    header: bytes
    form: CsvFormat

    @property
    def path(self) -> str:
        """The file's absolute path."""
        return self.file.path

    @property
    def key(self) -> str:
        return f"{self.name}#{self.place}"

    def __repr__(self) -> str:
        return f"<CSV {self.path}, part {self.place}: bytes {self.start:,} to {self.stop:,}>"

    @property
    def reads(self) -> int:
        """The bytes of its records."""
        return self.stop - self.start

    def identity(self) -> Any:
        form = self.form
        return (
            "csv", self.file.identity(), self.start, self.stop, form.separator, form.quote, form.encoding, form.header,
        )  # fmt: skip

    def arrive(self) -> CsvPart:
        self.file.check()
        return self

    def open(self) -> BinaryIO:
        """A binary file of the header and the part's records; close it, or use it with ``with``.

        Raises FileNotSeen or FileChanged when the file is not what was split.
        """
        self.file.check()
        return io.BufferedReader(_Window(self.header, self.path, self.start, self.stop), 1 << 20)

    def lines(self) -> Iterator[str]:
        """The part's lines as text without their ends, the header not among them."""
        self.file.check()
        with io.TextIOWrapper(
            io.BufferedReader(_Window(b"", self.path, self.start, self.stop)), encoding=self.form.encoding
        ) as text:
            for line in text:
                yield line.rstrip("\n")

    def read(self, **options: Any) -> pandas.DataFrame:
        """The records as a DataFrame with a fresh index; ``options`` are those of ``pandas.read_csv``.

        Types are found out part by part: give ``dtype=`` where all parts must have the same.
        """
        import pandas

        given: dict[str, Any] = {"sep": self.form.separator, "encoding": self.form.encoding}
        given |= {"quotechar": self.form.quote} if self.form.quote else {"quoting": _QUOTE_NONE}
        if not self.form.header:
            given["header"] = None
        with self.open() as file:
            frame: pandas.DataFrame = pandas.read_csv(file, **given | options)
        return frame


class _Window(io.RawIOBase):
    """The header, then a slice of the file."""

    def __init__(self, header: bytes, path: str, start: int, stop: int) -> None:
        self._header = header
        self._left = stop - start
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 -- closed by close()
        self._file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        if self._header:
            count = min(len(into), len(self._header))
            into[:count], self._header = self._header[:count], self._header[count:]
            return count
        count = self._file.readinto(into[: self._left]) or 0
        self._left -= count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@dataclass(frozen=True)
class Csv(Partitioner):
    """CSV files; the function gets a handle with ``.read()``."""

    patterns: Patterns
    size: int
    form: CsvFormat
    partitions: int | None = None

    def split(self, _nodes: Nodes) -> Iterator[CsvPart]:
        seen = self.patterns.files()
        names = names_of([one.path for one in seen])
        size = self._size(seen)
        for file, name in zip(seen, names, strict=True):
            yield from _slices(file, name, size, self.form)

    def in_chunks(self, _chunk: int) -> Csv:
        raise InputError(f"chunk= does not fit {WHO}, which does not count rows; say bytes= or partitions=")

    def in_partitions(self, partitions: int) -> Csv:
        return replace(self, partitions=partitions)

    def identity(self, parts: Sequence[Part]) -> Any:
        files = {part.value.path: part.value.file.identity() for part in parts}
        form = self.form
        return "csv", list(files.values()), form.separator, form.quote, form.encoding, form.header

    def nothing(self) -> str:
        return f"nb.csv: {self.patterns!r} has no rows: there is nothing to map"

    def _size(self, seen: Sequence[SeenFile]) -> int:
        if self.partitions is None:
            return self.size
        return max(1, -(-sum(one.size for one in seen) // self.partitions))

    def __repr__(self) -> str:
        return f"csv({self.patterns!r}): {self._told()}"

    def _told(self) -> str:
        try:
            seen = self.patterns.files()
        except InputError as error:
            return str(error)
        size = self._size(seen)
        parts = sum(max(1, -(-one.size // size)) for one in seen)
        whole = sum(one.size for one in seen)
        return f"{several(len(seen), 'file')}, {whole:,} bytes, {size:,} for each part: about {several(parts, 'part')}"


def csv(
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    bytes: int | str = "64MB",  # noqa: A002 -- reads as it should: nb.csv(path, bytes="64MB")
    *,
    sep: str = ",",
    quotechar: str | None = '"',
    encoding: str = "utf-8",
    header: bool = True,
    multiline: bool = True,
) -> Csv:
    """Split CSV files into slices of whole records, of about ``bytes`` each.

    ``path`` is a path, a glob or a list of them.  The function gets a handle: ``part.read()`` gives a
    DataFrame (with the options of ``pandas.read_csv``), ``part.lines()`` the lines, ``part.open()`` a binary file; all
    of them know the header, which is the first record of each file unless ``header=False``.

    To know which newlines are quoted, the files are read once here (200 MB to 3 GB a second); ``multiline=False``
    says that none is, and then nothing but the neighbourhood of each cut is read.  ``quotechar=None``
    says that quotes mean nothing.  Raises InputError, also for compressed files, which cannot be cut.
    """
    from nbcluster.config import parse_size

    form = CsvFormat(_letter(sep, "sep"), "" if quotechar is None else _letter(quotechar, "quotechar"),
                     _encoding(encoding), header, multiline)  # fmt: skip
    patterns = Patterns.of(WHO, path, ".csv")
    for pattern in patterns.patterns:
        _refuse_compressed(pattern, b"")
    return Csv(patterns, parse_size(bytes, "bytes"), form)


def _letter(given: Any, name: str) -> str:
    if not isinstance(given, str) or len(given) != 1 or not given.isascii() or given in "\r\n\0":
        raise InputError(f"{WHO}: {name} is {given!r}; it must be one ASCII character")
    return given


def _encoding(given: Any) -> str:
    try:
        name = codecs.lookup(given).name
    except (LookupError, TypeError):
        raise InputError(f"{WHO}: there is no encoding {given!r}; write for example 'utf-8' or 'latin-1'") from None
    if name.startswith(("utf-16", "utf-32")):
        raise InputError(f"{WHO}: files in {given} cannot be cut at bytes; save them as utf-8 first")
    return str(given)


def _slices(file: SeenFile, name: str, size: int, form: CsvFormat) -> Iterator[CsvPart]:
    """The parts of one file.  Raises InputError for what is no plain text."""
    with open(file.path, "rb") as opened:
        head = opened.read(4096)
        _refuse_compressed(file.path, head)
        _refuse_binary(file.path, head)
        start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        begin, end = header_of(opened, start, file.size, form)
        opened.seek(begin)
        header = opened.read(end - begin) if form.header else b""
        first, last = (end, file.size) if form.header else (begin, file.size)
        if not _has_more(opened, first, last, form):
            return
        ends = [*cuts(opened, first, last, size, form), last]
        while len(ends) > 1 and not _has_more(opened, ends[-2], last, form):
            del ends[-2]  # blank lines at the end are no part
    for place, (from_, to) in enumerate(zip([first, *ends], ends, strict=False)):
        yield CsvPart(file, name, place, from_, to, header, form)


def _has_more(file: BinaryIO, start: int, stop: int, form: CsvFormat) -> bool:
    """Whether there is anything but blank lines."""
    blank = b"\r\n" + b" \t".replace(form.separator.encode(), b"")
    file.seek(start)
    while start < stop and (data := file.read(min(1 << 20, stop - start))):
        if data.strip(blank):
            return True
        start += len(data)
    return False


def _refuse_compressed(path: str, head: bytes) -> None:
    kind = next((kind for magic, kind in _COMPRESSED.items() if head.startswith(magic)), None)
    kind = kind or _ENDINGS.get(os.path.splitext(path)[1].lower())
    if kind is not None:
        raise InputError(
            f"{WHO}: {path} is compressed ({kind}), so it cannot be cut; unpack it, or give each node whole files with "
            "nb.files"
        )


def _refuse_binary(path: str, head: bytes) -> None:
    if head.startswith(b"PAR1"):
        raise InputError(f"{WHO}: {path} is a Parquet file; use nb.parquet")
    if head.startswith(_WIDE):
        raise InputError(f"{WHO}: {path} is UTF-16 or UTF-32, which cannot be cut at bytes; save it as utf-8 first")
    if b"\0" in head:
        raise InputError(f"{WHO}: {path} is no text, or UTF-16 without a mark; save it as CSV in utf-8")
