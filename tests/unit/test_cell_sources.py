"""The lines of cells travel with the functions that were written in them."""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from nbcluster.payload import (
    captured,
    install_sources,
    load,
    pack_function,
)
from tests.unit.test_payload import MB, cell


@pytest.fixture
def cell_text() -> Iterator[str]:
    """The text of a cell, as the notebook's line cache knows it."""
    text = "def helper(n):\n    return 1 / n  # of the helper\n\ndef f(n):\n    return helper(n)\n"
    linecache.cache["<cell 7>"] = (len(text), None, text.splitlines(keepends=True), "<cell 7>")
    yield text
    linecache.cache.pop("<cell 7>", None)


def test_the_text_of_the_cell_is_shipped_with_the_function(cell_text: str) -> None:
    shipped = load(pack_function(cell(cell_text), MB))
    assert shipped.sources == {"<cell 7>": cell_text}


def test_a_remote_traceback_shows_the_lines_of_the_cell(cell_text: str) -> None:
    shipped = load(pack_function(cell(cell_text), MB))
    linecache.cache.pop("<cell 7>")
    install_sources(shipped.sources)
    with pytest.raises(ZeroDivisionError) as raised:
        shipped.function(0)
    assert "return 1 / n  # of the helper" in "".join(traceback.format_exception(raised.value))


def test_the_text_of_a_captured_function_is_shipped_too(cell_text: str) -> None:
    helper = cell(cell_text).__globals__["helper"]
    f = cell("def f(n):\n    return helper(n)\n", helper=helper)
    assert load(pack_function(f, MB)).sources == {"<cell 7>": cell_text}


def test_installed_modules_are_not_shipped() -> None:
    assert load(pack_function(os.path.join, MB)).sources == {}


def test_functions_that_use_each_other_are_shipped() -> None:
    f = cell("def g(n):\n    return f(n - 1)\ndef f(n):\n    return g(n) if n else 0\n")
    assert load(pack_function(f, MB)).function(3) == 0


def test_attribute_names_are_no_captures() -> None:
    space: dict[str, Any] = {"__name__": "__main__", "table": [1] * 1000, "n": 1}
    exec("def use(frame):\n    return frame.table + n", space)
    assert set(captured(space["use"])) == {"n"}
