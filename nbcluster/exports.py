"""What a job gave, as a file: the rows of its frame, of which only some are in memory at a time.

Batches of rows are put down beside the file as they are read; when all are there, their columns are known, and DuckDB
makes one file of them, which takes its place in one step.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd

from nbcluster.errors import InputError, NBClusterError
from nbcluster.frames import plain
from nbcluster.frames.items import AFTER, OURS, VALUE, framed
from nbcluster.frames.shapes import FRAMES, MOST_COLUMNS
from nbcluster.reading import Item, batches

Format = Literal["parquet", "csv"]
Key = tuple[Hashable, int]
"""A column: its label, and how many of this label stand before it."""

_BATCH_ROWS = 20_000
_BATCH_BYTES = 8 << 20
_GROUP_BYTES = 32 << 20
"""What a row group of a Parquet file may take while it is written."""

_GROUP_ROWS = 122_880

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_TIMES = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
_OURS = {"partition": "BIGINT", "attempt": "BIGINT", "seconds": "DOUBLE"}

_PACKED = {".gz": "gzip", ".zst": "zstd"}


def export(
    path: str | os.PathLike[str],
    kind: Format,
    items: Callable[[], Iterable[Item]],
    tell: Callable[[str], None],
) -> None:
    """Write the frame of these items to a file.

    ``items()`` gives them in input order; it is called again when the values turn out to be of several kinds.  Raises
    InputError with one sentence when the file cannot be written; then there is nothing of it.
    """
    target = checked_path(path, kind)
    with _beside(target, kind) as folder, duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")  # it prints into the user's cell
        staging = _Staging(connection, folder)
        if not staging.take(items(), tell, apart=True):
            staging = _Staging(connection, folder)
            staging.take(items(), tell, apart=False)
            tell(f"its values stand as JSON in the column value of {target.name}: they are of several kinds")
        made = folder / "whole"
        staging.write(made, kind, _PACKED.get(target.suffix) if kind == "csv" else None)
        _sync(made)
        os.replace(made, target)


def checked_path(path: str | os.PathLike[str], kind: Format) -> Path:
    """Where a file can be made.  Raises InputError with one sentence when none can."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise InputError(f"to_{kind} needs the path of a file, not {type(path).__name__}")
    target = Path(os.path.realpath(Path(path).expanduser()))
    if target.is_dir():
        raise InputError(f"to_{kind}: {path} is a folder; name a file in it, such as {Path(path) / f'result.{kind}'}")
    if not target.parent.is_dir():
        raise InputError(f"to_{kind}: there is no folder {target.parent}; make it first, or choose another")
    return target


@contextmanager
def _beside(target: Path, kind: Format) -> Iterator[Path]:
    """A folder beside the file, for as long as it is made: there is room for it, and renaming is one step."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:50]}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"to_{kind}: {target} cannot be written: {error.strerror}") from error
    try:
        yield folder
    except NBClusterError:  # of reading, which may be a ConnectionError
        raise
    except (OSError, duckdb.Error) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"to_{kind}: {target} cannot be written: {said}; nothing was left there") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- batches ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Staging:
    """The rows so far: a file for each batch, in which column ``n`` is called ``c{n}``."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    columns: dict[Key, int] = field(default_factory=dict)
    batches: list[tuple[Path, dict[int, str]]] = field(default_factory=list)
    """Each file with the types of the columns that it has."""
    shapes: set[str] = field(default_factory=set)
    rows: int = 0
    size: int = 0

    def take(self, items: Iterable[Item], tell: Callable[[str], None], *, apart: bool) -> bool:
        """Put all items down; False when their values are not of one shape, and ``apart`` would make them so."""
        heard: list[str] = []
        for batch in batches(items, _BATCH_ROWS, _BATCH_BYTES):
            made = framed(batch, heard.append, apart=apart)
            if made.shape is not None:
                self.shapes.add(made.shape)
            if apart and (len(self.shapes) > 1 or len(self.columns) > MOST_COLUMNS):
                return False
            columns = plain.plain_columns(made.frame)
            labels = list(made.frame.columns)
            if made.shape is None:  # what these are, and whether they are rows, is known when the shape is
                columns[_NOTHING] = pd.Series([item.error is None and item.value is None for item in batch])
                columns.pop((VALUE, 0), None)
                labels.remove(VALUE)
            self._put_down(columns, len(made.frame), labels)
            self.size += sum(item.size for item in batch)
        for sentence in dict.fromkeys(heard):
            tell(sentence)
        return True

    def _put_down(self, columns: dict[Key, pd.Series[Any]], rows: int, labels: Sequence[Hashable]) -> None:
        seen: dict[Hashable, int] = {}
        for label in labels:  # in the order of the frame, also those that hold nothing yet
            self.columns.setdefault((label, seen.get(label, 0)), len(self.columns))
            seen[label] = seen.get(label, 0) + 1
        if not rows:
            return
        self.rows += rows
        numbered = {self.columns.setdefault(key, len(self.columns)): column for key, column in columns.items()}
        frame = pd.DataFrame({f"c{number}": column.reset_index(drop=True) for number, column in numbered.items()})
        file = self.folder / f"{len(self.batches)}.parquet"
        self.connection.register("batch", frame)
        try:
            self.connection.execute(f"COPY batch TO {_text(str(file))} (FORMAT parquet)")
            kinds = self.connection.execute("DESCRIBE batch").fetchall()
        finally:
            self.connection.unregister("batch")
        self.batches.append((file, {int(name[1:]): str(kind) for name, kind, *_ in kinds}))

    # --- the whole ----------------------------------------------------------

    def write(self, made: Path, kind: Format, packed: str | None) -> None:
        """One file of all batches."""
        options = [f"FORMAT {kind}"]
        if kind == "csv":
            options += ["HEADER", *([f"COMPRESSION {packed}"] if packed else [])]
        else:
            each = max(1, self.size // max(1, self.rows))
            options.append(f"ROW_GROUP_SIZE {max(1, min(_GROUP_ROWS, _GROUP_BYTES // each))}")
        self.connection.execute(f"COPY ({self._query()}) TO {_text(str(made))} ({', '.join(options)})")

    def _query(self) -> str:
        keys = self._wanted()
        types = {key: self._type(key) for key in keys}
        nothing = self.columns.get(_NOTHING)
        parts = []
        for held, alike in groupby(self.batches, key=lambda batch: batch[1]):
            shown = ", ".join(
                f"CAST({f'c{self.columns[key]}' if self.columns.get(key) in held else 'NULL'} AS {types[key]})"
                f" AS {_name(key)}"
                for key in keys
            )
            files = ", ".join(_text(glob.escape(str(file))) for file, _ in alike)
            # A None among frames is no row.
            where = f" WHERE NOT c{nothing}" if nothing in held and self.shapes == {FRAMES} else ""
            parts.append(f"SELECT {shown} FROM read_parquet([{files}]){where}")
        if parts:
            return " UNION ALL ".join(parts)
        return f"SELECT {', '.join(f'CAST(NULL AS {types[key]}) AS {_name(key)}' for key in keys)} WHERE false"

    def _wanted(self) -> list[Key]:
        """The columns of the file: ours around those of the values."""
        theirs = [key for key in self.columns if key[0] not in OURS and key != _NOTHING]
        return [("input", 0), *(theirs if self.shapes else [(VALUE, 0)]), *((label, 0) for label in AFTER)]

    def _type(self, key: Key) -> str:
        number = self.columns.get(key)
        return united(
            [held[number] for _, held in self.batches if number in held] or [_OURS.get(str(key[0]), "VARCHAR")]
        )


_NOTHING: Key = ("", -1)


def united(types: Iterable[str]) -> str:
    """The type of a column that has these types in its batches; text where no other holds all of them."""
    kinds = set(types)
    if len(kinds) == 1:
        kind = kinds.pop()
        return "DOUBLE" if kind == "HUGEINT" else "VARCHAR" if kind.startswith("ENUM") else kind
    for family, widest in ((_INTEGERS, "BIGINT"), (_UNSIGNED, "UBIGINT"), (_TIMES, "TIMESTAMP")):
        if kinds <= set(family):
            return widest
    if all(
        kind in (*_INTEGERS, *_UNSIGNED, "FLOAT", "DOUBLE", "HUGEINT") or kind.startswith("DECIMAL") for kind in kinds
    ):
        return "DOUBLE"
    return "VARCHAR"


def _name(key: Key) -> str:
    label, before = key
    text = str(label) if not before else f"{label}_{before}"
    return '"' + text.replace('"', '""').replace("\0", "") + '"' if text else '"column"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
