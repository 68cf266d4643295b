"""``%%nbcluster sql``, and pictures as the values of cells."""

from __future__ import annotations

import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

from nbcluster.plots.paper import Picture
from tests.notebook.conftest import Notebook


@pytest.fixture
def squares(notebook: Notebook) -> Notebook:
    notebook.good("%%nbcluster map n in range(8) -o asked -c 2 --progress none\nn * n")
    return notebook


def test_the_answer_is_the_value_of_the_cell(squares: Notebook) -> None:
    ran = squares.good("%%nbcluster sql\nSELECT sum(value::INT) AS total FROM results WHERE name = 'asked'")
    assert ran.value["total"].tolist() == [140]


def test_the_answer_gets_a_name_and_parameters_are_variables(squares: Notebook) -> None:
    squares.good("import pandas as pd\nleast, weights = 3, pd.DataFrame({'partition': [3], 'weight': [2.5]})")
    query = "SELECT partition, weight FROM partitions JOIN weights USING (partition)\n"
    query += "WHERE job = :job AND partition >= $least"
    squares.good("job = asked.id")
    ran = squares.good(f"%%nbcluster sql -o heavy\n{query}")
    assert ran.value is None
    assert squares["heavy"].values.tolist() == [[3.0, 2.5]]


def test_the_query_is_taken_as_it_is_written(squares: Notebook) -> None:
    squares.good("brace = 1")
    assert squares.good("%%nbcluster sql\nSELECT '{brace} $brace' AS t").value["t"].tolist() == ["{brace} $brace"]


def test_a_mistake_is_one_sentence_with_its_place(squares: Notebook) -> None:
    ran = squares.run("%%nbcluster sql\nSELECT state\nFORM jobs")
    said = (ran.out + ran.err).strip().splitlines()
    assert len(said) == 1
    assert 'syntax error at or near "jobs", at line 2, column 6' in said[0]
    missing = squares.run("%%nbcluster sql\nSELECT :nowhere_defined")
    assert "the query has :nowhere_defined, and nothing was given for it" in missing.out + missing.err


def test_the_equal_call_is_shown(squares: Notebook) -> None:
    shown = squares.good("%%nbcluster sql -o slow --show\nSELECT * FROM jobs WHERE job = :job").out
    assert 'slow = nc.sql("""\nSELECT * FROM jobs WHERE job = :job\n""", job=job)' in shown


def test_a_picture_shows_itself_once_without_any_backend(squares: Notebook, shell: InteractiveShell) -> None:
    picture = squares.good("asked.plot()").value
    assert isinstance(picture, Picture)
    formatter = shell.display_formatter
    assert isinstance(formatter, DisplayFormatter)
    data, metadata = formatter.format(picture)
    assert set(data) == {"image/png", "text/plain"}
    assert data["text/plain"] == "<Picture overview of asked>"
    assert metadata["image/png"]["width"] == 960


def test_a_timeline_shows_itself_as_a_picture_over_a_table(squares: Notebook, shell: InteractiveShell) -> None:
    timeline = squares.good("asked.timeline()").value
    formatter = shell.display_formatter
    assert isinstance(formatter, DisplayFormatter)
    data, _ = formatter.format(timeline)
    assert data["text/html"].startswith("<img ")
    assert 'alt="asked: 4 partitions on 1 node in' in data["text/html"]
    assert "seconds" in data["text/plain"]
