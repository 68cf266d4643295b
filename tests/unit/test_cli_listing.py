"""Rows for terminals and programs: the frames' columns, aligned, harmless, complete."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nbcluster import frames
from nbcluster.cli import listing
from nbcluster.lifecycle import JobStatus, PartitionStatus
from nbcluster.records import JobRow, PartitionRow
from tests.builders import a_node

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def a_job_row(**changes: Any) -> JobRow:
    values = {field.name: 0 for field in dataclasses.fields(JobRow)}
    texts = dict.fromkeys(("name", "user", "host", "strategy", "mode", "python", "uid", "step_name", "source"), "x")
    plain: dict[str, Any] = values | texts | {"status": JobStatus.STARTED, "created": MOMENT, "ended": None}
    return JobRow(**(plain | changes))


def a_partition_row(**changes: Any) -> PartitionRow:
    plain: dict[str, Any] = {
        "partition_id": 1, "index": 0, "key": "0..9", "status": PartitionStatus.PENDING, "node": None, "attempt": 0,
        "items": 10, "failed_items": 0, "transferable": True, "exit_code": None, "exit_message": None,
        "seconds": None, "claimed": None, "ended": None,
    }  # fmt: skip
    return PartitionRow(**(plain | changes))


def written(columns: tuple[listing.Column, ...], rows: list[Any], form: str) -> str:
    out = io.StringIO()
    listing.write(out, columns, rows, form)
    return out.getvalue()


@pytest.mark.parametrize(
    ("columns", "frame"),
    [
        (listing.NODES, frames.nodes_frame([])),
        (listing.JOBS, frames.jobs_frame([])),
        (listing.PARTITIONS, frames.partitions_frame([])),
    ],
    ids=["nodes", "jobs", "partitions"],
)
def test_the_columns_are_those_of_the_frames(columns: tuple[listing.Column, ...], frame: Any) -> None:
    assert [column.name for column in columns] == list(frame.columns)


def test_json_is_a_list_of_records_with_times_in_utc() -> None:
    rows = [a_job_row(name="flights", elapsed=float("nan"), created=MOMENT)]
    (record,) = json.loads(written(listing.JOBS, rows, "json"))
    assert record["name"] == "flights"
    assert datetime.fromisoformat(record["created"]) == MOMENT
    assert record["seconds"] is None
    assert json.loads(written(listing.JOBS, [], "json")) == []


def test_csv_has_a_heading_and_every_column() -> None:
    rows = [a_partition_row(key='a,"b"', exit_message="two\nlines", ended=MOMENT)]
    heading, record = csv.reader(io.StringIO(written(listing.PARTITIONS, rows, "csv")))
    assert heading == [column.name for column in listing.PARTITIONS]
    assert record[1] == 'a,"b"'
    assert record[heading.index("message")] == "two\nlines"
    assert record[heading.index("node")] == ""
    assert datetime.fromisoformat(record[heading.index("ended")]) == MOMENT


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    heading, first, second = written(
        listing.JOBS, [a_job_row(name="a", items=5), a_job_row(name="longer", items=12345)], "table"
    ).splitlines()
    end = heading.index("items") + len("items")
    assert first[:end].endswith("    5")
    assert second[:end].endswith("12345")
    assert heading.index("state") == first.index("STARTED") == second.index("STARTED")


def test_a_narrow_table_drops_the_least_important_columns_and_keeps_the_others_whole() -> None:
    rows = [a_node("laboratory-machine-0123456789ab", host="laboratory-machine")]
    values = [[column.read(row) for column in listing.NODES] for row in rows]
    wide, narrow = (listing.table(listing.NODES, values, width) for width in (200, 80))
    assert "load" in wide[0]
    assert "load" not in narrow[0]
    assert max(map(len, narrow)) <= 80
    for name in ("node", "state", "heartbeat_age", "slots", "busy", "python"):
        assert name in narrow[0]
    assert "laboratory-machine-0123456789ab" in narrow[1]


def test_a_narrow_table_cuts_the_message_rather_than_leaving_it_out() -> None:
    rows = [a_partition_row(node="machine-0123456789ab", exit_code="FAILED", exit_message="ValueError: no such month")]
    values = [[column.read(row) for column in listing.PARTITIONS] for row in rows]
    heading, row = listing.table(listing.PARTITIONS, values, 80)
    assert "message" in heading
    assert "ValueError" in row
    assert "..." in row
    assert max(len(heading), len(row)) <= 80


def test_what_users_wrote_cannot_repaint_the_terminal() -> None:
    evil = "job\x1b[2J\x07\u202e\x9b31m\nnext\u2028line"
    for form in ("table", "csv", "json"):
        text = written(listing.JOBS, [a_job_row(name=evil)], form)
        assert not set(text) & set("\x1b\x07\u202e\x9b\u2028")
    assert json.loads(written(listing.JOBS, [a_job_row(name=evil)], "json"))[0]["name"] == evil
    assert len(written(listing.JOBS, [a_job_row(name=evil)], "table").splitlines()) == 2


def test_escape_sequences_go_as_a_whole() -> None:
    said = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain\ttab\n"
    assert listing.clean(said) == "red plain tab "
    assert listing.clean(said, keep="\n\t") == "red plain\ttab\n"


def test_a_long_name_keeps_both_its_ends() -> None:
    node_id = "n" * 100 + "-0123456789ab"
    _, row = written(listing.NODES, [a_node(node_id)], "table").splitlines()
    assert row.startswith("nnn")
    assert "...-0123456789ab" in row
    assert len(row) < 130


def test_wide_letters_take_two_columns() -> None:
    heading, wide, plain = written(listing.JOBS, [a_job_row(name="数字"), a_job_row(name="abcd")], "table").splitlines()
    assert wide.index("STARTED") + 2 == plain.index("STARTED") == heading.index("state")
