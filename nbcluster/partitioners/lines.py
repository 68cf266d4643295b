"""Where a CSV file can be cut: at ends of records, which newlines inside of quotes are not.

A quote opens only at the beginning of a field, a doubled one inside of quotes is a quote, and what
follows a closing quote belongs to the field: as pandas and RFC 4180 read it.  Nearly always
it is enough to count quotes; where one stands in the middle of a field, they are followed one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

BLOCK = 8 * 1024 * 1024
_NEWLINE, _RETURN = b"\n", b"\r"


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written.  ``quote`` is empty where there is none; without ``multiline`` no newline is quoted."""

    separator: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True
    multiline: bool = True


@dataclass(frozen=True)
class Block:
    """Some bytes of a file from ``start`` on, with the places of the quotes that begin or end a quoted field.

    ``inside`` says whether it begins inside of one.
    """

    start: int
    data: bytes
    toggles: Any
    inside: bool

    def is_inside(self, place: int) -> bool:
        """Whether the byte at ``place`` of the data is quoted."""
        if not len(self.toggles):
            return self.inside
        return self.inside ^ bool(int(self.toggles.searchsorted(place, "right")) & 1)

    def record_end(self, place: int, newline: bytes) -> int | None:
        """The place after the first end of a record at or after ``place``; None when there is none in here."""
        while (found := self.data.find(newline, place)) >= 0:
            if not self.is_inside(found):
                return found + 1
            place = found + 1
        return None


def newline_of(head: bytes) -> bytes:
    """What ends the lines of a file that begins so: only very old files have no line feeds."""
    return _RETURN if _NEWLINE not in head and _RETURN in head else _NEWLINE


def header_of(file: BinaryIO, start: int, size: int, form: CsvFormat) -> tuple[int, int]:
    """Where the first record that is not blank begins and ends; both are ``size`` when there is none."""
    begin = _after_blank_lines(file, start, size, form)
    end = next(cuts(file, begin, size, 1, form), size) if begin < size else size
    return begin, end


def _after_blank_lines(file: BinaryIO, start: int, size: int, form: CsvFormat) -> int:
    file.seek(start)
    while start < size and (line := file.readline(BLOCK)):
        if line.strip(b" \t\r\n") or form.separator.encode() in line:
            blank = len(line) - len(line.lstrip(_RETURN))  # lines that end with a carriage return alone
            return start + blank
        start += len(line)
    return size


def cuts(file: BinaryIO, start: int, size: int, target: int, form: CsvFormat) -> Iterator[int]:
    """Ends of records: the first that is ``target`` bytes after ``start``, or after the one before; without ``size``.

    ``start`` must be the beginning of a record.
    """
    file.seek(start)
    newline = newline_of(file.read(min(BLOCK, size - start)))
    if not form.quote or not form.multiline:
        yield from _plain_cuts(file, start, size, target, newline)
        return
    due = start + target - 1
    for block in _blocks(file, start, size, form):
        while due < block.start + len(block.data):
            end = block.record_end(max(0, due - block.start), newline)
            if end is None:
                break
            if block.start + end < size:
                yield block.start + end
            due = block.start + end + target - 1


def _plain_cuts(file: BinaryIO, start: int, size: int, target: int, newline: bytes) -> Iterator[int]:
    """The same where every newline ends a record: only the neighbourhood of each cut is read."""
    due = start + target - 1
    while due < size:
        file.seek(due)
        data = file.read(min(BLOCK, 64 * 1024, size - due))
        if not data:
            return
        found = data.find(newline)
        if found < 0:
            due += len(data)
            continue
        if due + found + 1 < size:
            yield due + found + 1
        due += found + target


def _blocks(file: BinaryIO, start: int, size: int, form: CsvFormat) -> Iterator[Block]:
    """The file from the beginning of a record on, block by block."""
    file.seek(start)
    inside, before, quote = False, _NEWLINE, form.quote.encode()
    while start < size:
        data = file.read(min(BLOCK, size - start))
        while data.endswith(quote) and start + len(data) < size:  # what follows a quote tells what it is
            data += file.read(1)
        if not data:
            return
        block = Block(start, data, _toggles(data, inside, before, form), inside)
        yield block
        inside, before = block.is_inside(len(data)), data[-1:]
        start += len(data)


def _toggles(data: bytes, inside: bool, before: bytes, form: CsvFormat) -> Any:
    """The places of the quotes that open or close a field."""
    if form.quote.encode() not in data:
        return ()
    import numpy

    places = numpy.flatnonzero(numpy.frombuffer(data, numpy.uint8) == ord(form.quote))
    if _all_at_ends_of_fields(data, places, inside, before, form):
        return places
    return numpy.array(list(_followed(data, inside, before, form)), dtype=numpy.int64)


def _all_at_ends_of_fields(data: bytes, places: Any, inside: bool, before: bytes, form: CsvFormat) -> bool:
    """Whether every quote stands where it must if each opens or closes in turn, or is doubled."""
    import numpy

    neighbours = numpy.frombuffer(before + data + _NEWLINE, numpy.uint8)
    allowed = numpy.zeros(256, bool)
    allowed[list((form.separator + form.quote + "\r\n").encode())] = True
    opening, closing = (places[1::2], places[0::2]) if inside else (places[0::2], places[1::2])
    return bool(allowed[neighbours[opening]].all() and allowed[neighbours[closing + 2]].all())


def _followed(data: bytes, inside: bool, before: bytes, form: CsvFormat) -> Iterator[int]:
    """The places of opening and closing quotes, one after the other."""
    field, rest = _patterns(form.separator, form.quote)
    text, place = before + data, 1
    if inside:
        found = rest.match(text, place)
        if found is None or not found[1]:
            return
        yield found.end() - 2
        place = found.end()
    for found in field.finditer(text, place):
        yield found.start() - 1
        if found[1]:
            yield found.end() - 2


@lru_cache
def _patterns(separator: str, quote: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A quoted field, and what is left of one from inside of it; with its closing quote if there is one."""
    mark, before = re.escape(quote.encode()), re.escape(separator.encode()) + rb"\r\n"
    rest = b"(?:[^" + mark + b"]++|" + mark * 2 + b")*+(" + mark + b"?)"
    return re.compile(b"(?<=[" + before + b"])" + mark + rest), re.compile(rest)
