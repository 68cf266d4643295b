from __future__ import annotations

import csv as plain
import gzip
import io
import itertools
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.errors import ConfigError, FileChanged, FileNotSeen, InputError
from nbcluster.partitioners import lines
from nbcluster.partitioners.base import Nodes, Part
from nbcluster.partitioners.choosing import cut
from nbcluster.partitioners.csv import CsvPart, csv
from nbcluster.partitioners.handle import arrived
from nbcluster.partitioners.lines import CsvFormat, cuts
from nbcluster.submitting import identity

NODES = Nodes(2)
TEXT = {"dtype": str, "keep_default_na": False}


def travelled(parts: Sequence[Part]) -> list[CsvPart]:
    """The handles as a node gets them."""
    return [arrived(pickle.loads(pickle.dumps(part.value))) for part in parts]


def split(path: Path, size: int = 1, **options: Any) -> list[CsvPart]:
    return travelled(cut(csv(path, size, **options), NODES))


def joined(parts: Sequence[CsvPart], **options: Any) -> pd.DataFrame:
    return pd.concat([part.read(**TEXT, **options) for part in parts], ignore_index=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.csv"


def records(data: bytes, separator: str = ",") -> list[list[str]]:
    """The records that Python's own reader finds, without blank ones."""
    text = io.StringIO(data.decode(), newline="")
    return [row for row in plain.reader(text, delimiter=separator) if row]


def slices(data: bytes, target: int, form: CsvFormat) -> list[bytes]:
    ends = [0, *cuts(io.BytesIO(data), 0, len(data), target, form), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(ends)]


# --- where it is cut -------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2, 5, lines.BLOCK], ids=lambda size: f"blocks of {size}")
def _blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Files are read in blocks of this many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", request.param)
        yield


@pytest.mark.usefixtures("_blocks")
@settings(max_examples=300, deadline=None)
@given(st.text(',"\n\rab;é', max_size=60), st.integers(1, 20), st.sampled_from(",;"))
def test_whatever_the_text_every_record_is_in_one_slice(text: str, target: int, separator: str) -> None:
    data = text.encode()
    found = slices(data, target, CsvFormat(separator))
    assert b"".join(found) == data
    assert [row for one in found for row in records(one, separator)] == records(data, separator)
    assert all(len(one) >= target for one in found[:-1])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text('ab,"\n\r', max_size=5), min_size=1, max_size=30), st.integers(1, 30))
def test_quoted_text_is_never_cut_and_no_chance_to_cut_is_missed(fields: list[str], target: int) -> None:
    rows = ['"' + field.replace('"', '""') + '"\n' for field in fields]
    ends = {sum(len(row.encode()) for row in rows[:place]) for place in range(1, len(rows) + 1)}
    data = "".join(rows).encode()
    place = 0
    for one in slices(data, target, CsvFormat())[:-1]:
        due = min(end for end in ends if end >= place + target)
        place += len(one)
        assert place == due


@given(st.lists(st.text("ab,", min_size=1, max_size=5), max_size=30), st.integers(1, 30))
def test_without_quoted_newlines_the_cuts_are_the_same(fields: list[str], target: int) -> None:
    data = "".join(f"{field}\n" for field in fields).encode()
    assert slices(data, target, CsvFormat(multiline=False)) == slices(data, target, CsvFormat())


# --- what the function gets ------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.text('a,"\n é', min_size=1, max_size=6), st.integers()), max_size=12),
    size=st.sampled_from([1, 10, 50, 10_000]),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    final=st.booleans(),
)
def test_the_parts_of_a_file_are_all_its_records_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int]],
    size: int,
    end: str,
    mark: bytes,
    final: bool,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    text = io.StringIO(newline="")
    writer = plain.writer(text, lineterminator=end, quoting=plain.QUOTE_ALL)
    writer.writerows([('the "text"', "the\nnumber"), *rows])
    path.write_bytes(mark + (text.getvalue() if final else text.getvalue().removesuffix(end)).encode())
    parts = split(path, size)
    assert bool(parts) == bool(rows)
    if rows:
        pd.testing.assert_frame_equal(joined(parts), pd.read_csv(path, **TEXT))


def test_every_part_knows_the_header_and_is_named_by_file_and_place(file: Path) -> None:
    file.write_bytes(b'x,"y\nz"\n1,2\n3,4\n5,6\n')
    parts = split(file, 5)
    assert [part.key for part in parts] == ["a.csv#0", "a.csv#1"]
    assert [part.read().to_dict("list") for part in parts] == [{"x": [1, 3], "y\nz": [2, 4]}, {"x": [5], "y\nz": [6]}]
    assert [list(part.lines()) for part in parts] == [["1,2", "3,4"], ["5,6"]]
    with parts[1].open() as opened:
        assert opened.read() == b'x,"y\nz"\n5,6\n'
    assert repr(parts[1]) == f"<CSV {file}, part 1: bytes 16 to 20>"


def test_lines_come_without_their_ends(file: Path) -> None:
    file.write_bytes("x\r\né\r\n2".encode("latin-1"))
    assert [list(part.lines()) for part in split(file, encoding="latin-1")] == [["é"], ["2"]]


def test_a_part_can_be_read_bit_by_bit(file: Path) -> None:
    file.write_bytes(b"x\n" + b"1\n" * 1000)
    (part,) = split(file, 10_000)
    with part.open() as opened:
        sizes = [len(chunk) for chunk in pd.read_csv(opened, chunksize=300)]
    assert sizes == [300, 300, 300, 100]


def test_other_separators_quotes_encodings_and_files_without_header(file: Path) -> None:
    file.write_bytes("1;'é;\n'\n2;x\n".encode("latin-1"))
    parts = split(file, sep=";", quotechar="'", encoding="latin-1", header=False)
    assert [part.read().to_numpy().tolist() for part in parts] == [[[1, "é;\n"]], [[2, "x"]]]


def test_quotes_that_mean_nothing_are_text(file: Path) -> None:
    file.write_bytes(b'x\n5"\n6"\n"7\n')
    assert list(joined(split(file, quotechar=None))["x"]) == ['5"', '6"', '"7']


def test_a_quote_in_the_middle_of_a_field_is_text(file: Path) -> None:
    file.write_bytes(b'x,y\n5" pipe,1\n6" pipe,2\n"a\nb",3\n')
    assert list(joined(split(file))["x"]) == ['5" pipe', '6" pipe', "a\nb"]


def test_lines_may_end_in_carriage_returns_alone(file: Path) -> None:
    file.write_bytes(b"x\r1\r2\r3")
    assert [list(part.read()["x"]) for part in split(file)] == [[1], [2], [3]]


def test_blank_lines_are_no_header_and_no_part(file: Path) -> None:
    file.write_bytes(b"\n \n\nx\n1\n2\n\n\n")
    assert [list(part.read()["x"]) for part in split(file)] == [[1], [2]]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"x,y", b"x,y\n", b"x,y\n\n"])
def test_a_file_without_rows_has_no_parts(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    source = csv(file)
    assert cut(source, NODES) == []
    assert source.nothing() == f"nb.csv: '{file}' has no rows: there is nothing to map"


def test_several_files_have_a_header_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    (tmp_path / "b.csv").write_text("x\n3\n")
    parts = split(tmp_path / "*.csv")
    assert [part.key for part in parts] == ["a.csv#0", "a.csv#1", "b.csv#0"]
    assert list(joined(parts)["x"]) == ["1", "2", "3"]


@pytest.mark.parametrize("wanted", [1, 2, 5, 7, 8])
def test_so_many_parts_can_be_asked_for(file: Path, wanted: int) -> None:
    file.write_text("x\n" + "".join(f"{number:03}\n" for number in range(100)))
    parts = cut(csv(file), NODES, partitions=wanted)
    assert len(parts) == wanted
    assert list(joined(travelled(parts))["x"]) == [f"{number:03}" for number in range(100)]


def test_rows_are_not_counted(file: Path) -> None:
    file.write_text("x\n1\n")
    with pytest.raises(InputError, match=r"^chunk= does not fit nb.csv, which does not count rows; say bytes= or"):
        cut(csv(file), NODES, chunk=3)


def test_what_travels_is_small_however_large_the_file(file: Path) -> None:
    file.write_text("x,y\n" + '1,"2"\n' * 500_000)
    parts = cut(csv(file, "1MB"), NODES)
    assert len(parts) == 3
    assert max(len(pickle.dumps(part.value)) for part in parts) < 500


def test_csv_shows_what_it_splits(file: Path) -> None:
    file.write_text("x\n" + "1\n" * 999)
    assert repr(csv(file, "1kB")) == f"csv('{file}'): 1 file, 2,000 bytes, 1,000 for each part: about 2 parts"


def test_the_same_file_is_the_same_input_however_it_is_cut(file: Path) -> None:
    def known(**options: Any) -> str:
        source = csv(file, **options)
        return identity.of_inputs(source.identity(cut(source, NODES)))

    file.write_text("x\n1\n2\n")
    assert known() == known(bytes=1)
    assert known() != known(sep=";")
    before = known()
    os.utime(file, ns=(0, 0))
    assert known() != before


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.csv.gz", b"", r"a.csv.gz is compressed \(gzip\), so it cannot be cut; unpack it, or .* nb.files$"),
        ("a.csv", gzip.compress(b"x\n1\n"), r"a.csv is compressed \(gzip\), so it cannot be cut"),
        ("a.csv", b"PK\x03\x04...", r"a.csv is compressed \(zip\)"),
        ("a.csv", b"PAR1...", "a.csv is a Parquet file; use nb.parquet$"),
        ("a.csv", "x\n1\n".encode("utf-16"), "a.csv is UTF-16 or UTF-32, which cannot be cut at bytes"),
        ("a.csv", "x\n1\n".encode("utf-16-le"), "a.csv is no text, or UTF-16 without a mark"),
    ],
    ids=["by its name", "by its first bytes", "zip", "parquet", "wide", "wide without a mark"],
)
def test_what_cannot_be_cut_is_refused(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"^nb.csv: .*{sentence}"):
        cut(csv(tmp_path / name), NODES)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sep": ";;"}, "sep is ';;'; it must be one ASCII character"),
        ({"quotechar": ""}, "quotechar is ''; it must be one ASCII character"),
        ({"encoding": "utf-16"}, "files in utf-16 cannot be cut at bytes"),
        ({"encoding": "klingon"}, "there is no encoding 'klingon'"),
    ],
)
def test_formats_that_make_no_sense_are_refused(file: Path, options: dict[str, Any], sentence: str) -> None:
    file.write_text("x\n1\n")
    with pytest.raises(InputError, match=f"^nb.csv: {sentence}"):
        csv(file, **options)


def test_a_size_that_is_none_is_refused(file: Path) -> None:
    file.write_text("x\n1\n")
    with pytest.raises(ConfigError, match="bytes: '64 apples' is no size; write for example 64MB"):
        csv(file, "64 apples")


def test_a_file_that_is_not_what_was_split_is_told_by_whatever_reads_it(file: Path) -> None:
    file.write_text("x\n1\n")
    (part,) = split(file)
    file.write_text("x\n1\n2\n")
    for read in (part.read, part.open, lambda: next(part.lines())):
        with pytest.raises(FileChanged, match=r"a.csv has changed since it was split: it had 4 bytes and has 6"):
            read()
    file.unlink()
    with pytest.raises(FileNotSeen, match=r"cannot see .*/a.csv: put it where every node sees it"):
        arrived(part)
