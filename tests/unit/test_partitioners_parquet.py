from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.errors import FileChanged, FileNotSeen, InputError
from nbcluster.partitioners.base import Nodes, Part
from nbcluster.partitioners.choosing import cut
from nbcluster.partitioners.handle import arrived
from nbcluster.partitioners.parquet import ParquetPart, parquet
from nbcluster.submitting import identity

NODES = Nodes(2)
GROUP = 2048
"""The smallest row group that DuckDB writes."""


def write(path: Path, rows: int, first: int = 0, columns: str = "range AS i, 'x' || range AS t") -> Path:
    """A Parquet file of numbered rows in row groups of 2,048."""
    with duckdb.connect() as duck:
        query = f"SELECT {columns} FROM range({first}, {first + rows})"
        duck.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {GROUP})")
    return path


def travelled(parts: Sequence[Part]) -> list[ParquetPart]:
    """The handles as a node gets them."""
    return [arrived(pickle.loads(pickle.dumps(part.value))) for part in parts]


def joined(parts: Sequence[Part]) -> pd.DataFrame:
    return pd.concat([part.read() for part in travelled(parts)], ignore_index=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, GROUP, GROUP + 1, 3 * GROUP]), min_size=1, max_size=3))
def test_the_parts_of_files_are_all_their_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    for place, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        write(folder / f"{place}.parquet", size, start)
    by_file = cut(parquet(folder / "*.parquet"), NODES)
    assert [part.value.rows for part in by_file] == sizes
    assert list(joined(by_file)["i"]) == list(range(sum(sizes)))
    by_group = cut(parquet(folder / "*.parquet", per="row_group"), NODES)
    assert len(by_group) == sum(-(-size // GROUP) for size in sizes)
    assert [row for part in travelled(by_group) for row in part.read()["i"]] == list(range(sum(sizes)))
    assert len({part.key for part in by_group}) == len(by_group)


def test_a_part_is_named_by_its_file_and_row_group(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", GROUP + 1)
    write(tmp_path / "b.parquet", 1)
    parts = cut(parquet(tmp_path / "*.parquet", per="row_group"), NODES)
    assert [part.key for part in parts] == ["a.parquet#0", "a.parquet#1", "b.parquet#0"]
    assert repr(parts[1].value) == f"<Parquet {tmp_path}/a.parquet, row group 1: 1 row>"


def test_parquet_shows_what_it_splits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 5000)
    assert repr(parquet(path)) == f"parquet('{path}', per='file'): 1 file, 5,000 rows"
    assert repr(parquet(path, "row_group")) == f"parquet('{path}', per='row_group'): 3 row groups in 1 file, 5,000 rows"


def test_types_stay_what_they_are(tmp_path: Path) -> None:
    columns = "range AS whole, range::FLOAT AS real, range % 2 = 0 AS truth, 'é' AS text, DATE '2013-01-01' AS day"
    columns += ", TIMESTAMP '2013-01-01 10:00' AS moment, TIMESTAMPTZ '2013-01-01 10:00Z' AS zoned, NULL::INT AS empty"
    (part,) = travelled(cut(parquet(write(tmp_path / "a.parquet", 2, columns=columns), "row_group"), NODES))
    frame = part.read()
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (kinds["whole"], kinds["real"], kinds["truth"]) == ("int64", "float32", "bool")
    assert all(kinds[name].startswith("datetime64") for name in ("day", "moment", "zoned"))
    assert frame["zoned"][0] == pd.Timestamp("2013-01-01 10:00", tz="UTC")
    assert frame["text"][1] == "é"
    assert frame["empty"].isna().all()


@pytest.mark.parametrize("per", ["file", "row_group"])
def test_only_the_named_columns_are_read(tmp_path: Path, per: str) -> None:
    write(tmp_path / "a.parquet", 3, columns='range AS i, range + 10 AS "odd ""name"""')
    (part,) = travelled(cut(parquet(tmp_path / "a.parquet", per), NODES))
    assert part.read(columns=['odd "name"']).to_dict("list") == {'odd "name"': [10, 11, 12]}
    assert list(part.read("i").columns) == ["i"]
    with pytest.raises(InputError, match=r"^nb.parquet: .*/a.parquet has no column 'j'; it has i, odd \"name\"$"):
        part.read(["j"])


def test_a_column_with_the_name_of_the_row_number_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", GROUP + 2, columns="range AS File_Row_Number")
    parts = travelled(cut(parquet(tmp_path / "a.parquet", "row_group"), NODES))
    assert list(parts[1].read()["File_Row_Number"]) == [GROUP, GROUP + 1]


def test_a_name_with_the_signs_of_a_pattern_is_that_file_only(tmp_path: Path) -> None:
    write(tmp_path / "p1.parquet", 1)
    write(tmp_path / "p[1].parquet", 2)
    (part,) = travelled(cut(parquet(tmp_path / "p[1].parquet"), NODES))
    assert len(part.read()) == 2


def test_what_travels_is_small(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 10 * GROUP)
    parts = cut(parquet(tmp_path / "a.parquet", "row_group"), NODES)
    assert max(len(pickle.dumps(part.value)) for part in parts) < 500


def test_the_same_files_are_the_same_input_until_one_changes(tmp_path: Path) -> None:
    def known() -> str:
        source = parquet(tmp_path / "*.parquet", "row_group")
        return identity.of_inputs(source.identity(cut(source, NODES)))

    write(tmp_path / "a.parquet", 5)
    before = known()
    assert known() == before
    os.utime(tmp_path / "a.parquet", ns=(0, 0))
    assert known() != before


def test_what_a_file_holds_can_be_told_for_the_cache(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 5)
    (part,), (same,) = (travelled(cut(parquet(path), NODES)) for _ in range(2))
    assert identity.identified(part) == identity.identified(same)
    assert identity.identified(part).doubt == ""


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        (".", {}, r"^nb.parquet: .* is a directory; write .*/\*.parquet for the files in it$"),
        ("no*.parquet", {}, r"^nb.parquet: no file matches .*/no\*.parquet$"),
        ("text.parquet", {}, r"^nb.parquet: .*/text.parquet' too small to be a Parquet file$"),
        ("a.parquet", {"per": "row"}, "^nb.parquet: per is 'row'; it must be one of 'file', 'row_group'$"),
    ],
)
def test_what_is_no_parquet_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, options: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "text.parquet").write_text("a,b")
    write(tmp_path / "a.parquet", 1)
    monkeypatch.chdir(tmp_path)
    sentence = sentence.replace(": .*/text", ": File '.*/text")
    with pytest.raises(InputError, match=sentence):
        cut(parquet(given, **options), NODES)


@pytest.mark.parametrize("option", ["chunk", "partitions"])
def test_the_files_say_how_many_parts_there_are(tmp_path: Path, option: str) -> None:
    source = parquet(write(tmp_path / "a.parquet", 1))
    with pytest.raises(InputError, match=rf"^{option}= does not fit"):
        cut(source, NODES, **{option: 3})


def test_a_file_that_is_not_what_was_split_is_told_also_by_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 1)
    (part,) = travelled(cut(parquet(path), NODES))
    write(path, 2000)
    with pytest.raises(FileChanged, match=r"a.parquet has changed since it was split"):
        part.read()
    path.unlink()
    with pytest.raises(FileNotSeen, match=r"cannot see .*/a.parquet: put it where every node sees it"):
        arrived(part)
