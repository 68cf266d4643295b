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
from nbcluster.partitioners.sql import SqlPart, sql
from nbcluster.submitting import identity

NODES = Nodes(1)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries name files relative to the folder of the kernel."""
    monkeypatch.chdir(tmp_path)


def write(query: str, name: str = "a.parquet") -> None:
    with duckdb.connect() as duck:
        duck.execute(f"COPY ({query}) TO '{name}'")


def travelled(parts: Sequence[Part]) -> list[SqlPart]:
    """The handles as a node gets them, whose own folder is another one."""
    folder = os.getcwd()
    os.chdir("/")
    try:
        return [arrived(pickle.loads(pickle.dumps(part.value))) for part in parts]
    finally:
        os.chdir(folder)


def split(query: str, partitions: int | None = None, **options: Any) -> list[SqlPart]:
    return travelled(cut(sql(query, **options), NODES, partitions=partitions))


def values(parts: Sequence[SqlPart], column: str = "n") -> list[list[int]]:
    return [[int(value) for value in part.read([column])[column]] for part in parts]


@settings(max_examples=15, deadline=None)
@given(
    numbers=st.lists(st.integers(-3, 3) | st.none(), max_size=12),
    kind=st.sampled_from(["BIGINT", "VARCHAR", "DOUBLE", "FLOAT", "DATE", "TIMESTAMP_NS", "DECIMAL(9,3)", "INTERVAL"]),
)
def test_by_a_column_each_row_is_in_the_part_of_its_value(numbers: list[int | None], kind: str) -> None:
    made = {
        "DATE": "DATE '2013-01-01' + k::INT",
        "TIMESTAMP_NS": "make_timestamp_ns(1 + k)",
        "INTERVAL": "to_days(90 + 30 * k::INT)",
    }.get(kind, f"(k / 3)::{kind}")
    rows = ", ".join(f"({place}, {'NULL' if one is None else one}::BIGINT)" for place, one in enumerate(numbers))
    source = f"(VALUES {rows}) AS v(n, k)" if rows else "(SELECT 1 AS n, 1::BIGINT AS k WHERE false)"
    write(f"SELECT n, {made} AS k FROM {source} ORDER BY n")
    parts = split("SELECT * FROM 'a.parquet'", by="k")
    found = values(parts)
    with duckdb.connect() as duck:
        groups = duck.execute("SELECT list(n ORDER BY n) FROM 'a.parquet' GROUP BY k").fetchall()
    assert sorted(found) == sorted(group for (group,) in groups)
    assert [part.rows for part in parts] == [len(one) for one in found]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 30), st.none() | st.integers(1, 12), st.integers(1, 12))
def test_by_rows_the_parts_are_all_rows_in_order(count: int, rows: int | None, partitions: int) -> None:
    write(f"SELECT range AS n FROM range({count})")
    parts = split("SELECT n FROM 'a.parquet' WHERE n >= 0", rows=rows, partitions=None if rows else partitions)
    found = values(parts)
    assert [number for one in found for number in one] == list(range(count))
    assert [part.rows for part in parts] == [len(one) for one in found]
    assert len(parts) <= (-(-count // rows) if rows else partitions)


def test_parts_are_named_by_their_value_or_place() -> None:
    Path("a.csv").write_text("n,g\n1,a\n2,\n3,b\n")
    assert [part.key for part in split("SELECT * FROM 'a.csv'", by="g")] == ["g = a", "g = b", "g is NULL"]
    assert [part.key for part in split("SELECT * FROM 'a.csv'", rows=2)] == ["rows 0..1", "rows 2..2"]


def test_a_query_may_do_what_it_likes_when_it_is_split_by_a_column() -> None:
    write("SELECT range AS n, range % 3 AS g FROM range(9)")
    Path("names.csv").write_text('g,"the ""name"""\n0,x\n1,y\n')
    query = (
        "WITH t AS (SELECT g, sum(n) AS total FROM 'a.parquet' GROUP BY g) -- a comment; at the end\n"
        'SELECT t.total, "the ""name""" FROM t LEFT JOIN read_csv(\'names.csv\') USING (g) ORDER BY total DESC; -- so'
    )
    parts = split(query, by='the "name"')
    assert [part.read().to_dict("list") for part in parts[:2]] == [
        {"total": [9.0], 'the "name"': ["x"]}, {"total": [12.0], 'the "name"': ["y"]},
    ]  # fmt: skip
    assert parts[2].value is None


def test_only_the_named_columns_are_read() -> None:
    write("SELECT 1 AS n, 2 AS m")
    (part,) = split("SELECT * FROM 'a.parquet'", rows=5)
    pd.testing.assert_frame_equal(part.read("m"), pd.DataFrame({"m": [2]}), check_dtype=False)
    with pytest.raises(InputError, match=r'^nb.sql: Referenced column "k" not found'):
        part.read(["k"])


def test_it_shows_the_query_and_what_it_found() -> None:
    write("SELECT range AS n FROM range(9)")
    source = sql("SELECT *\nFROM 'a.parquet'", rows=5)
    assert str(source) == "sql(\"SELECT * FROM 'a.parquet'\"): 5 rows a part\nSELECT *\nFROM 'a.parquet'"
    cut(source, NODES)
    assert repr(source).endswith("5 rows a part; 2 parts of 9 rows when it was split")


def test_a_query_without_rows_has_no_parts() -> None:
    write("SELECT range AS n FROM range(9)")
    source = sql("SELECT * FROM 'a.parquet' WHERE n > 10", by="n")
    assert cut(source, NODES) == []
    assert source.nothing() == "nb.sql: SELECT * FROM 'a.parquet' WHERE n > 10 gives no rows: there is nothing to map"


def test_paths_mean_what_they_meant_in_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "it's").mkdir()
    monkeypatch.chdir(tmp_path / "it's")
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("a.csv").write_text("n\n1\n")
    (tmp_path / "b.csv").write_text("n\n2\n")
    parts = split("SELECT n FROM 'a.csv' UNION ALL SELECT n FROM '~/b.csv'", by="n")
    monkeypatch.setenv("HOME", "/nowhere")
    assert values(parts) == [[1], [2]]


def test_what_travels_is_small_however_many_files() -> None:
    for number in range(60):
        Path(f"{number}.csv").write_text("n\n1\n")
    (part,) = split("SELECT * FROM '*.csv'", by="n")
    assert part.rows == 60
    assert len(pickle.dumps(part)) < 500


def test_files_that_are_not_what_was_split_are_told() -> None:
    Path("a.csv").write_text("n\n1\n")
    Path("b.csv").write_text("n\n2\n")
    part = split("SELECT * FROM '*.csv'", by="n")[0]
    Path("c.csv").write_text("n\n3\n")
    with pytest.raises(FileChanged, match=r"\*.csv has changed since it was split: 2 of 8 bytes was matched"):
        part.read()
    for name in "abc":
        Path(f"{name}.csv").unlink()
    with pytest.raises(FileNotSeen, match=r"cannot see .*/\*.csv: put it where every node sees it"):
        arrived(part)


def test_the_same_query_is_the_same_input_until_a_file_changes() -> None:
    def known() -> str:
        source = sql("SELECT * FROM 'a.parquet'", by="n")
        return identity.of_inputs(source.identity(cut(source, NODES)))

    write("SELECT 1 AS n")
    before = known()
    assert known() == before
    os.utime("a.parquet", ns=(0, 0))
    assert known() != before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT n FROM 'a.parquet' ORDER BY n",
        "SELECT DISTINCT n FROM 'a.parquet'",
        "SELECT n, count(*) FROM 'a.parquet' GROUP BY n",
        "SELECT * FROM 'a.parquet' JOIN 'a.parquet' AS b USING (n)",
        "SELECT row_number() OVER () AS n FROM 'a.parquet'",
        "SELECT * FROM 'a.parquet' USING SAMPLE 10%",
        "SELECT * FROM 'a.parquet' LIMIT 5",
        "SELECT * FROM (SELECT * FROM 'a.parquet')",
        "SELECT 1 AS n UNION ALL SELECT 2",
    ],
)
def test_by_rows_the_order_must_be_the_same_everywhere(query: str) -> None:
    with pytest.raises(InputError, match=r"^nb.sql: by rows goes only with a query that reads one source"):
        sql(query, rows=1)


@pytest.mark.parametrize(
    ("query", "options", "sentence"),
    [
        ("selec 1", {}, 'syntax error at or near "selec", at line 1, column 1$'),
        ("SELECT a,\n  b FROM 'x' WHER y", {}, 'syntax error at or near "y", at line 2, column 19$'),
        ("SELECT 1; SELECT 2", {}, "takes one SELECT, not 2 statements$"),
        ("COPY (SELECT 1) TO 'x.csv'", {}, "takes a SELECT, which reads only; this is COPY$"),
        (" ", {}, "needs a query such as"),
        ("SELECT * FROM flights", {"by": "n"}, "Table with name flights does not exist!; name files in quotes: FROM"),
        ("SELECT * FROM 'none.csv'", {"by": "n"}, 'No files found that match the pattern "none.csv"'),
        ("SELECT 1 AS n, 2 AS m", {"by": "k"}, "the query gives no column 'k'; it gives n, m$"),
        ("SELECT 1 AS n", {"by": 3}, "by is 3; it must be the name of a column$"),
        ("SELECT 1 AS n", {"by": "n", "rows": 3}, "takes by= or rows=, not both$"),
    ],
)
def test_queries_that_make_no_sense_are_refused(query: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^nb.sql:? {sentence}"):
        cut(sql(query, **options), NODES)
    assert not list(Path().iterdir())


def test_values_leave_no_choice_of_how_many_parts() -> None:
    for option in ("partitions", "chunk"):
        with pytest.raises(InputError, match=rf"^{option}= does not fit nb.sql\(by='n'\)"):
            cut(sql("SELECT 1 AS n", by="n"), NODES, **{option: 2})
