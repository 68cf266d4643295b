"""The bar and the map of a job's partitions."""

from __future__ import annotations

import pytest

from nbcluster.notebook.partition_map import MOST_CELLS, Cell, cells_of, map_label, segments_of


def test_few_partitions_have_a_cell_each() -> None:
    assert cells_of("cfsr.") == (Cell("c", 1), Cell("f", 0), Cell("s", 0), Cell("r", 0), Cell(".", 0))
    assert len(cells_of("c" * MOST_CELLS)) == MOST_CELLS


@pytest.mark.parametrize(
    ("partitions", "cells", "label"),
    [
        (0, 0, "0 partitions"),
        (1, 1, "1 partition"),
        (400, 400, "400 partitions"),
        (401, 201, "401 partitions, 2 in each cell"),
        (10_000, 400, "10,000 partitions, 25 in each cell"),
        (100_000, 400, "100,000 partitions, 250 in each cell"),
    ],
)
def test_many_partitions_share_cells_and_it_is_said_how_many(partitions: int, cells: int, label: str) -> None:
    assert len(cells_of("." * partitions)) == cells
    assert map_label(partitions) == label


@pytest.mark.parametrize(
    ("letters", "cell"),
    [
        ("cccc", Cell("c", 1)),
        ("ccc.", Cell(".", 0.75)),
        ("....", Cell(".", 0)),
        ("ccr.", Cell("r", 0.5)),
        ("ccrs", Cell("s", 0.5)),
        ("fcrs", Cell("f", 0.25)),
    ],
)
def test_a_cell_shows_the_worst_in_it_and_how_much_is_done(letters: str, cell: Cell) -> None:
    assert cells_of(letters, most=1) == (cell,)


def test_no_partition_is_left_out_of_the_map() -> None:
    letters = "." * 1000 + "f"
    assert cells_of(letters)[-1].letter == "f"


def test_segments_are_shares_of_all() -> None:
    assert [(one.word, one.count, one.share) for one in segments_of("cccf......")] == [
        ("completed", 3, 0.3),
        ("failed", 1, 0.1),
        ("pending", 6, 0.6),
    ]
    assert segments_of("") == ()
