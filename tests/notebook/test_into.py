"""A cell whose rows go into a table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")

CELL = '%%nbcluster map n in range(4) {}\n{{"n": n, "square": n * n}}'


class Rows:
    """The cluster's database as its user sees it."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url)

    def __call__(self) -> list[tuple[int, int]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text("SELECT n, square FROM squares ORDER BY n, square"))]


@pytest.fixture
def rows(notebook: Notebook, cluster_url: str) -> Iterator[Rows]:
    found = Rows(cluster_url)
    yield found
    with found.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS squares"))
    found.engine.dispose()


def test_rows_of_a_cell_go_into_a_table_as_its_options_say(notebook: Notebook, rows: Rows) -> None:
    right = [(n, n * n) for n in range(4)]
    notebook.good(CELL.format("-o first --into squares"))
    assert notebook["first"].results() == [1] * 4
    assert rows() == right
    ran = notebook.run(CELL.format("--into squares"))
    assert "there is a table squares already; if_exists='append' (--if-exists append) adds rows to it" in str(ran.error)
    notebook.good(CELL.format("--into squares --if-exists append"))
    assert rows() == sorted(right * 2)
    notebook.good('%%nbcluster submit --into squares --if-exists replace\n[{"n": 1, "square": 1}]')
    assert rows() == [(1, 1)]


def test_running_all_again_leaves_the_table_as_it_is(notebook: Notebook, rows: Rows) -> None:
    for _ in range(2):
        notebook.good(CELL.format("-o again --into squares"))
        assert rows() == [(n, n * n) for n in range(4)]


def test_the_equal_call_names_the_table_too(notebook: Notebook) -> None:
    said = notebook.good(CELL.format("--into squares --if-exists replace --show")).out
    assert 'nc.map(each, range(4), into="squares", if_exists="replace")' in said


def test_an_if_exists_that_there_is_not_is_one_red_line(notebook: Notebook) -> None:
    ran = notebook.run(CELL.format("--into squares --if-exists overwrite"))
    assert "--if-exists: 'overwrite' is not one of append, replace, fail" in str(ran.error)
