"""Tables by ranges of keys, on every database: what the database itself says is the measure."""

from __future__ import annotations

import datetime
import pickle
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcluster.errors import FileNotSeen, InputError
from nbcluster.partitioners.base import Nodes, Part
from nbcluster.partitioners.choosing import cut
from nbcluster.partitioners.handle import arrived
from nbcluster.partitioners.keys import KeysPart, keys
from nbcluster.submitting import identity
from tests.postgres import PostgresServer

NODES = Nodes(2)


class Place:
    """A database, and a table in it that is made anew for each example."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def table(self, kind: str, values: Sequence[Any], name: str = "t") -> None:
        """A table ``t`` of numbered rows with a column ``k`` of that kind."""
        self.run(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} (n INTEGER PRIMARY KEY, k {kind})")
        self.add(values, name=name)

    def add(self, values: Sequence[Any], first: int = 0, name: str = "t") -> None:
        with self.engine.begin() as connection:
            rows = [{"n": first + place, "k": value} for place, value in enumerate(values)]
            if rows:
                statement = sa.text(f"INSERT INTO {name} VALUES (:n, :k)")
                connection.execute(statement.bindparams(sa.bindparam("k", type_=sa.types.NullType())), rows)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Place:
    path = tmp_path_factory.mktemp("keys") / "data.db"
    path.touch()
    return Place(f"sqlite:///{path}")


@pytest.fixture(scope="module")
def postgresql(postgres: PostgresServer) -> Iterator[Place]:
    url = postgres.fresh_database()
    yield Place(url)
    postgres.drop_database(url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def travelled(parts: Sequence[Part]) -> list[KeysPart]:
    """The handles as a node gets them."""
    return [arrived(pickle.loads(pickle.dumps(part.value))) for part in parts]


def split(place: Place, rows: int, **options: Any) -> list[KeysPart]:
    return travelled(cut(keys(place.url, "t", "k", rows), NODES, **options))


def numbers(parts: Sequence[KeysPart]) -> list[list[int]]:
    return [[int(number) for number in part.read(["n"])["n"]] for part in parts]


def check(place: Place, parts: Sequence[KeysPart], count: int) -> None:
    """Every row is in one part; parts follow each other in the database's order; equal values stay together."""
    found = numbers(parts)
    assert sorted(number for part in found for number in part) == list(range(count))
    assert [part.rows for part in parts] == [len(part) for part in found]
    assert all(found)
    part_of = {number: index for index, part in enumerate(found) for number in part}
    with place.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT n, RANK() OVER (ORDER BY k) FROM t WHERE k IS NOT NULL ORDER BY k"
        ).fetchall()
        ordered = [part_of[n] for n, _ in rows]
        assert ordered == sorted(ordered)
        rank_in: dict[int, int] = {}
        for n, rank in rows:
            assert rank_in.setdefault(rank, part_of[n]) == part_of[n]
        missing = {part_of[n] for (n,) in connection.exec_driver_sql("SELECT n FROM t WHERE k IS NULL")}
    assert len(missing) <= 1
    assert missing.isdisjoint(rank_in.values())


KINDS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "integers": ("BIGINT", st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)),
    "floats": ("DOUBLE PRECISION", st.floats(allow_nan=False) | st.sampled_from([0.1, 1e300, -0.0, float("inf")])),
    "single floats": ("REAL", st.floats(width=32, allow_nan=False)),
    "texts": ("TEXT", st.text("aAbBzäÖ _%'\\0", max_size=3)),
    "dates": ("DATE", st.dates().map(str)),
    "moments": ("TIMESTAMP", st.datetimes(datetime.datetime(1900, 1, 1)).map(str)),  # noqa: DTZ001 -- they have none
    "decimals": ("NUMERIC(30, 4)", st.decimals(-10, 10, places=4).map(str)),
}


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=10, deadline=None)
@given(data=st.data(), rows=st.integers(1, 8))
def test_every_row_is_in_one_part_whatever_the_type(place: Place, kind: str, data: st.DataObject, rows: int) -> None:
    declared, values = KINDS[kind]
    given_values = data.draw(st.lists(values | st.none(), max_size=14))
    place.table(declared, given_values)
    check(place, split(place, rows), len(given_values))


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
    st.integers(1, 8),
    st.lists(st.integers(-99, 99), max_size=9),
)
def test_rows_that_come_later_are_in_one_part_too(place: Place, values: list[int], rows: int, later: list[int]) -> None:
    place.table("INTEGER", values)
    parts = split(place, rows)
    place.add(later, first=len(values))
    found = numbers(parts)
    assert sorted(number for part in found for number in part) == list(range(len(values) + len(later)))


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])]
)
def test_parts_have_as_many_rows_as_asked(place: Place, count: int, sizes: list[int]) -> None:
    place.table("INTEGER", list(range(count)))
    assert [part.rows for part in split(place, 4)] == sizes


def test_a_chunk_is_so_many_rows(place: Place) -> None:
    place.table("INTEGER", list(range(9)))
    assert [part.rows for part in split(place, 1000, chunk=4)] == [4, 4, 1]


@pytest.mark.parametrize(("wanted", "count"), [(1, 1), (2, 2), (3, 3), (9, 9), (20, 9)])
def test_so_many_parts_can_be_asked_for(place: Place, wanted: int, count: int) -> None:
    place.table("INTEGER", list(range(9)))
    parts = split(place, 4, partitions=wanted)
    assert len(parts) == count
    check(place, parts, 9)


def test_nulls_are_a_part_of_their_own_also_beside_a_single_range(place: Place) -> None:
    place.table("INTEGER", [1, None, 2, None])
    parts = split(place, 100)
    assert [part.key for part in parts] == ["every k", "k is NULL"]
    assert numbers(parts) == [[0, 2], [1, 3]]
    place.table("INTEGER", [None, None])
    assert [part.key for part in split(place, 1)] == ["k is NULL"]


def test_the_condition_is_there_for_statements_of_ones_own(place: Place) -> None:
    place.table("INTEGER", [1, 2, 3, 4, 5, 6])
    first, middle, last = split(place, 2)
    assert [one.key for one in (first, middle, last)] == ["k < 3", "3 <= k < 5", "k >= 5"]
    assert (middle.where, middle.parameters) == ('"t"."k" >= :lower AND "t"."k" < :upper', {"lower": 3, "upper": 5})
    with place.engine.connect() as connection:
        total = connection.execute(sa.text(f"SELECT SUM(k) FROM t WHERE {middle.where}"), middle.parameters).scalar()
    assert total == 7
    assert last.statement(["n"]) == 'SELECT "t"."n" FROM "t" WHERE "t"."k" >= :lower ORDER BY "t"."k"'


def test_texts_are_compared_as_the_database_does(place: Place) -> None:
    declared = "TEXT COLLATE NOCASE" if place.sqlite else 'TEXT COLLATE "und-x-icu"'
    values = ["b", "A", "a", "B", "c", "C", "ä", "z"]
    place.table(declared, values)
    for rows in (1, 2, 3):
        check(place, split(place, rows), len(values))


def test_names_are_quoted_whatever_they_are(place: Place) -> None:
    odd = 'or"der by: %s; --'
    quoted = '"' + odd.replace('"', '""') + '"'
    quoted_percent = quoted.replace("%", "%%") if not place.sqlite else quoted
    place.run(f"DROP TABLE IF EXISTS {quoted_percent}", f"CREATE TABLE {quoted_percent} ({quoted_percent} INTEGER)")
    place.run(*(f"INSERT INTO {quoted_percent} VALUES ({number})" for number in range(5)))
    parts = travelled(cut(keys(place.url, odd, odd, 2), NODES))
    assert [list(part.read([odd])[odd]) for part in parts] == [[0, 1], [2, 3], [4]]
    place.run(f"DROP TABLE {quoted_percent}")


def test_a_table_may_be_named_with_its_schema(place: Place) -> None:
    place.table("INTEGER", [1, 2])
    schema = "main" if place.sqlite else "public"
    parts = travelled(cut(keys(place.url, f"{schema}.t", "k", 1), NODES))
    assert [part.table for part in parts] == [f"{schema}.t"] * 2
    assert [list(part.read()["k"]) for part in parts] == [[1], [2]]


def test_a_view_and_an_engine_do_as_well(place: Place) -> None:
    place.table("INTEGER", [1, 2, 3])
    place.run("DROP VIEW IF EXISTS v", "CREATE VIEW v AS SELECT k * 10 AS k FROM t")
    parts = travelled(cut(keys(place.engine, "v", "k", 2), NODES))
    assert [list(part.read()["k"]) for part in parts] == [[10, 20], [30]]
    place.run("DROP VIEW v")


def test_it_shows_its_statements_before_it_asks_anything(place: Place) -> None:
    source = keys(place.url, "nowhere", "k", rows=7)
    shown = str(source)
    assert shown.startswith("keys('")
    assert ": 7 rows a part\n" in shown
    assert 'row_number() OVER (ORDER BY "nowhere"."k")' in shown
    assert 'SELECT * FROM "nowhere" WHERE "nowhere"."k" >= :lower AND "nowhere"."k" < :upper' in shown
    assert 'SELECT * FROM "nowhere" WHERE "nowhere"."k" IS NULL' in shown


def test_it_shows_what_it_found_when_it_was_split(place: Place) -> None:
    place.table("INTEGER", [1, 2, 3, None])
    source = keys(place.url, "t", "k", 2)
    cut(source, NODES)
    assert repr(source).endswith("'t', 'k'): 2 rows a part; 3 parts of 4 rows when it was split")


def test_a_table_without_rows_has_no_parts(place: Place) -> None:
    place.table("INTEGER", [])
    source = keys(place.url, "t", "k")
    assert cut(source, NODES) == []
    assert source.nothing() == "nb.keys: table 't' has no rows: there is nothing to map"


def test_more_rows_are_another_input(place: Place) -> None:
    def known() -> str:
        source = keys(place.url, "t", "k", 2)
        return identity.of_inputs(source.identity(cut(source, NODES)))

    place.table("INTEGER", [1, 2, 3])
    before = known()
    assert known() == before
    place.add([4], first=3)
    assert known() != before


def test_what_a_table_holds_cannot_be_told_for_the_cache(place: Place) -> None:
    place.table("INTEGER", [1, 2, 3])
    (part,) = split(place, 5)
    assert identity.identified(part).doubt.endswith("whose rows may change unseen")


def test_what_travels_is_small(place: Place) -> None:
    place.table("INTEGER", list(range(100)))
    assert max(len(pickle.dumps(part)) for part in split(place, 10)) < 600


def test_a_table_that_is_not_there_is_told_with_those_that_are(place: Place) -> None:
    place.table("INTEGER", [])
    with pytest.raises(InputError, match=r"^nb.keys: .* has no table 'flights'; there are .*\bt\b"):
        cut(keys(place.url, "flights", "k"), NODES)


def test_a_column_that_is_not_there_is_told_with_those_that_are(place: Place) -> None:
    place.table("INTEGER", [])
    with pytest.raises(InputError, match=r"^nb.keys: table 't' has no column 'day'; there are n, k$"):
        cut(keys(place.url, "t", "day"), NODES)


@pytest.mark.parametrize("kind", ["JSON", "BLOB"])
def test_a_column_without_an_order_is_told_with_those_that_have_one(place: Place, kind: str) -> None:
    place.table(kind if place.sqlite or kind == "JSON" else "BYTEA", [])
    with pytest.raises(InputError, match=r"^nb.keys: column 'k' is \w+, which has no order; others have: there are n$"):
        cut(keys(place.url, "t", "k"), NODES)


def test_a_column_that_read_does_not_find_is_told_by_the_database(place: Place) -> None:
    place.table("INTEGER", [1])
    (part,) = split(place, 10)
    with pytest.raises(InputError, match=r"^nb.keys: \S+ cannot read 't' of .*: .*day"):
        part.read(["day"])
    with pytest.raises(InputError, match="columns= names none"):
        part.read([])


# --- what one database has -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DOUBLE PRECISION", [1.0, float("nan"), float("inf"), float("nan"), None, -1.0]),
        ("UUID", [uuid.UUID(int=number * 7919 % 13) for number in range(13)]),
        ("NUMERIC", [Decimal("1e-30"), Decimal("NaN"), Decimal("1e30"), Decimal(0)]),
        ("TIMESTAMPTZ", [f"2013-01-01 10:00{zone}" for zone in ("+00", "+01", "-05", "+00")]),
        ("CHAR(3)", ["a", "a ", "b", ""]),
        ("BOOLEAN", [True, False, None, True]),
        ("mood", ["sad", "happy", "so-so", "sad"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_types_of_postgresql(postgresql: Place, kind: str, values: list[Any]) -> None:
    postgresql.run(
        "DROP TABLE IF EXISTS t", "DROP TYPE IF EXISTS mood", "CREATE TYPE mood AS ENUM ('sad', 'so-so', 'happy')"
    )
    postgresql.table(kind, values)
    for rows in (1, 2, 3):
        check(postgresql, split(postgresql, rows), len(values))
    postgresql.run("DROP TABLE t", "DROP TYPE mood")


def test_a_password_is_never_shown(postgresql: Place) -> None:
    postgresql.table("INTEGER", [1, 2])
    password = sa.make_url(postgresql.url).password
    assert password
    source = keys(postgresql.url, "t", "k", rows=1)
    parts = [part.value for part in cut(source, NODES)]
    shown = [repr(source), str(source), repr(source.source), repr(source.identity(cut(source, NODES)))]
    for part in parts:
        shown += [repr(part), repr(part.source), part.url, part.key, repr(part.identity())]
    assert not [text for text in shown if password in text]
    assert numbers(travelled(cut(source, NODES))) == [[0], [1]]


def test_mixed_values_of_sqlite_are_in_one_part_each(sqlite: Place) -> None:
    values = [1, "1", 2.5, "b", None, "", 10**15, "a"]
    for declared in ("", "TEXT", "NUMERIC"):
        sqlite.table(declared, values)
        for rows in (1, 2, 3):
            check(sqlite, split(sqlite, rows), len(values))


# --- what is refused at once -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("labdb/sales", "^nb.keys needs the URL of a database or an SQLAlchemy engine"),
        (3, "^nb.keys needs the URL of a database or an SQLAlchemy engine"),
        ("sqlite://", "^nb.keys: an SQLite database in memory is seen by this process only"),
        ("sqlite:////no/such.db", "^nb.keys: there is no file /no/such.db$"),
    ],
)
def test_urls_that_make_no_sense_are_refused(url: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        keys(url, "t", "k")


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    source = keys("postgresql://ada:geheim@127.0.0.1:1/x?application_name=geheim", "t", "k")
    with pytest.raises(
        InputError, match=r"cannot read 't' of postgresql\+psycopg://ada:\*\*\*@127.0.0.1:1/x: "
    ) as told:
        cut(source, NODES)
    assert "geheim" not in str(told.value)


def test_an_sqlite_file_that_a_node_does_not_see_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    path.touch()
    place = Place(f"sqlite:///{path}")
    place.table("INTEGER", [1])
    (part,) = split(place, 1)
    path.unlink()
    with pytest.raises(FileNotSeen, match=r"cannot see .*/data.db: put it where every node sees it"):
        part.read()
    assert not path.exists()
