"""From a query to what DuckDB is given, and from values to texts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbcluster.query import parsed, text_of


@pytest.mark.parametrize(
    ("query", "text", "names"),
    [
        ("SELECT :a", "SELECT $a", {"a"}),
        ("SELECT $a + :b, :a", "SELECT $a + $b, $a", {"a", "b"}),
        ("SELECT x=:a", "SELECT x=$a", {"a"}),
        ("SELECT ':a' || $a", "SELECT ':a' || $a", {"a"}),
        ("SELECT 'it''s :a'", "SELECT 'it''s :a'", set()),
        ('SELECT ":a" FROM t', 'SELECT ":a" FROM t', set()),
        ("SELECT x::INT", "SELECT x::INT", set()),
        ("SELECT :a::INT", "SELECT $a::INT", {"a"}),
        ("SELECT 1 -- :a\n, :b", "SELECT 1 -- :a\n, $b", {"b"}),
        ("SELECT /* :a */ :b", "SELECT /* :a */ $b", {"b"}),
        ("SELECT $$:a$$, $tag$:b$tag$", "SELECT $$:a$$, $tag$:b$tag$", set()),
        ("SELECT {'k':v}, l[1:n]", "SELECT {'k':v}, l[1:n]", set()),
    ],
)
def test_parameters_are_found_where_they_are_no_part_of_something_else(query: str, text: str, names: set[str]) -> None:
    found = parsed(query)
    assert (found.text, found.parameters) == (text, names)
    assert len(found.text) == len(query)


@pytest.mark.parametrize(
    ("query", "opens"),
    [("SELECT Value FROM results", True), ('SELECT "value" FROM results', True), ("SELECT * FROM results", True),
     ("SELECT seconds FROM results", False), ("SELECT 'value' FROM results -- value *", False),
     ("SELECT COUNT( * ) FROM results", False), ("FROM results", True)],
)  # fmt: skip
def test_whether_a_query_names_values(query: str, opens: bool) -> None:
    assert parsed(query).names_values is opens


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("plain", "plain"),
        (12, "12"),
        (True, "true"),
        ({"a": [1, 2.5]}, '{"a": [1, 2.5]}'),
        (np.int64(3), "3"),
        (np.array([1, 2]), "[1, 2]"),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00+00:00"'),
        (pd.DataFrame({"a": [1]}), '{"a": {"0": 1}}'),
        ({"a": Odd()}, '{"a": "<odd>"}'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_values_are_texts_or_json(value: Any, text: str | None) -> None:
    assert text_of(value) == text


def test_a_value_without_end_is_cut() -> None:
    assert len(text_of("x" * 1_000_000) or "") == 100_000
