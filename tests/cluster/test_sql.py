"""Questions in SQL about real jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbcluster.errors import InputError
from tests.cluster.conftest import Lab


def sevenths(n: int) -> float:
    print(f"dividing by {n - 7}")
    return 1 / (n - 7)


def as_mapping(n: int) -> dict[str, Any]:
    return {"n": n, "name": f"item {n}"}


@pytest.fixture(scope="module")
def job(cluster: Any) -> Any:
    return cluster.map(sevenths, range(10), chunk=2, name="sevenths").wait()


def test_tables_join_by_job_step_and_partition(cluster: Any, job: Any) -> None:
    found = cluster.sql(
        """SELECT j.name, p.partition, p.state, a.node = p.node AS same, a.outcome, l.text
           FROM jobs j JOIN partitions p USING (job) JOIN attempts a USING (job, step, partition, attempt)
           JOIN logs l USING (job, step, partition, attempt)
           WHERE job = :job ORDER BY partition""",
        job=job.id,
    )
    assert found["partition"].tolist() == [0, 1, 2, 3, 4]
    assert found["state"].tolist() == ["COMPLETED"] * 3 + ["FAILED", "COMPLETED"]
    assert found["outcome"].tolist() == found["state"].tolist()
    assert found["same"].all()
    assert found["text"][0].split("\n")[:2] == ["dividing by -7", "dividing by -6"]


def test_results_are_rows_of_items_with_their_values_and_errors(cluster: Any, job: Any) -> None:
    found = cluster.sql(
        "SELECT item, value::DOUBLE AS v, error, message FROM results WHERE name = 'sevenths' ORDER BY item"
    )
    assert found["item"].tolist() == list(range(10))
    assert found["v"].drop(index=7).tolist() == [1 / (n - 7) for n in range(10) if n != 7]
    assert (found["error"][7], found["message"][7]) == ("ZeroDivisionError", "division by zero")


def test_values_that_are_mappings_are_json(cluster: Any) -> None:
    cluster.map(as_mapping, range(3), name="mapped").wait()
    found = cluster.sql("SELECT value->>'$.name' AS name FROM results WHERE name = 'mapped' ORDER BY item")
    assert found["name"].tolist() == ["item 0", "item 1", "item 2"]


def test_results_stay_closed_unless_values_are_asked_for(cluster: Any, job: Any, monkeypatch: Any) -> None:
    from nbcluster import payload

    opened: list[str] = []
    plain = payload.unpack
    monkeypatch.setattr(payload, "unpack", lambda body, what: (opened.append(what), plain(body, what))[1])
    counted = cluster.sql("SELECT count(*) AS n, count(error) AS errors FROM results WHERE name = 'sevenths'")
    assert counted.values.tolist() == [[10, 1]]
    assert opened == []
    cluster.sql("SELECT value FROM results")
    assert opened


def test_rows_of_items_are_the_same_with_and_without_their_values(cluster: Any, job: Any) -> None:
    def killed(n: int) -> int:
        import os

        if n == 4:
            os._exit(3)
        return n

    lost = cluster.map(killed, range(6), chunk=3, name="killed").wait(60)
    query = "SELECT {} FROM results WHERE name IN ('killed', 'sevenths') ORDER BY job, item"
    closed = "job, name, step, item, partition, node, attempt, seconds, error, message"
    with_values = cluster.sql(query.format(f"{closed}, value"))
    pd.testing.assert_frame_equal(cluster.sql(query.format(closed)), with_values.drop(columns="value"))
    of_lost = with_values[with_values["job"] == lost.id]
    assert of_lost["error"].isna().tolist() == [True] * 3 + [False] * 3
    assert of_lost["seconds"].isna().tolist() == [False] * 3 + [True] * 3
    counted = cluster.sql("SELECT count(*) AS n, count(error) AS errors FROM results WHERE job = :job", job=lost.id)
    assert counted.values.tolist() == [[6, 3]]


def test_a_result_that_was_altered_is_an_error_and_no_value(lab: Lab) -> None:
    lab.nodes(1)
    cluster = lab.connect()
    cluster.map(as_mapping, range(2), chunk=1, name="altered").wait(60)
    lab.tables.change("UPDATE batch_results SET errors = '[ ]'")
    lab.audited = False
    found = cluster.sql("SELECT value, error FROM results")
    assert found["error"].tolist() == ["BAD_SIGNATURE"] * 2
    assert found["value"].isna().all()


def test_frames_of_the_caller_and_frames_that_are_given_are_tables(cluster: Any, job: Any) -> None:
    rooms = pd.DataFrame({"partition": [0, 1], "room": ["north", "south"]})
    query = "SELECT room FROM partitions JOIN {} USING (partition) WHERE name = 'sevenths' ORDER BY partition"
    assert cluster.sql(query.format("rooms"))["room"].tolist() == ["north", "south"]
    assert cluster.sql(query.format("given"), given=rooms.iloc[:1])["room"].tolist() == ["north"]


def test_events_and_nodes_are_tables(cluster: Any, job: Any) -> None:
    phases = cluster.sql("SELECT phase, count(*) AS n FROM events WHERE job = :job GROUP BY 1", job=job.id)
    counted = dict(phases.values.tolist())
    assert (counted["RECEIVED"], counted["CLAIMED"], counted["COMPLETED"], counted["FAILED"]) == (1, 5, 4, 1)
    seen = cluster.sql("SELECT count(*) AS n FROM nodes WHERE slots > 0 AND state = 'ACTIVE'")
    assert seen["n"].tolist() == [2]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELEC 1", 'SQL: syntax error at or near "SELEC", at line 1, column 1'),
        ("SELECT *\nFROM jobs WHERE nam = 1", r"SQL: Referenced column \"nam\" .*name.*, at line 2, column 17"),
        (
            "SELECT * FROM job",
            "SQL: there is no table job; there are nodes, jobs, partitions, attempts, events, logs, ",
        ),
        ("SELECT :missing", r"SQL: the query has :missing, and nothing was given for it"),
        ("DELETE FROM jobs", "SQL: DELETE is refused: queries only ask"),
        ("COPY jobs TO 'jobs.csv'", "SQL: COPY is refused"),
        ("SELECT 1; DROP TABLE jobs", "SQL: there are 2 statements"),
        ("WITH x AS (COPY (SELECT 1) TO 'jobs.csv') FROM x", "SQL: COPY is refused"),
        ("EXPLAIN SELECT statt FROM partitions", r"SQL: Referenced column .*, at line 1, column 16"),
        ("FROM 'nothing-here.parquet'", "SQL: No files found that match the pattern"),
        ("FROM 's3://lab/a.parquet'", "SQL: File s3://lab/a.parquet requires .*, and queries load none: copy the file"),
        ("  ", "there is no query"),
    ],
)
def test_what_is_wrong_or_would_write_is_refused_in_a_sentence(cluster: Any, query: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        cluster.sql(query)


def test_only_the_tables_that_are_named_are_read(cluster: Any, job: Any, monkeypatch: Any) -> None:
    from nbcluster.store.asking import Asking

    def refuse(_self: object, _wanted: object) -> None:
        raise AssertionError("this table was not asked for")

    for table in ("attempts", "events", "logs", "ended_steps"):
        monkeypatch.setattr(Asking, table, refuse)
    assert cluster.sql("WITH events AS (SELECT 1 AS a) SELECT a FROM events, partitions LIMIT 1")["a"].tolist() == [1]


def test_whole_numbers_stay_whole_where_one_is_missing_and_in_sums(cluster: Any, job: Any) -> None:
    found = cluster.sql("SELECT sum(items) AS n, min(partition) FILTER (partition > 99) AS none FROM partitions")
    assert found["n"].dtype == "int64"
    events = cluster.sql("SELECT partition, seconds FROM events LEFT JOIN attempts USING (job, partition, attempt)")
    assert str(events["partition"].dtype) == "Int64"
    assert str(events["seconds"].dtype) == "float64"


def test_only_the_columns_and_the_jobs_that_are_named_are_read(cluster: Any, job: Any, monkeypatch: Any) -> None:
    from nbcluster.store.asking import Asking

    asked = []
    plain = Asking.partitions
    monkeypatch.setattr(Asking, "partitions", lambda self, wanted: (asked.append(wanted), plain(self, wanted))[1])
    found = cluster.sql("SELECT count(*) FILTER (state = 'FAILED') AS n FROM partitions WHERE job = :job", job=job.id)
    assert found["n"].tolist() == [1]
    (wanted,) = asked
    assert wanted.columns <= {"state", "job"}
    assert [(one.column, one.value) for one in wanted.conditions] == [("job", job.id)]


def test_a_plan_that_was_misread_costs_time_and_no_truth(cluster: Any, job: Any, monkeypatch: Any) -> None:
    from nbcluster import query
    from nbcluster.store.stepnames import Wanted

    monkeypatch.setattr(query, "of_plan", lambda _plan, tables: {name: Wanted(frozenset()) for name in tables})
    found = cluster.sql("SELECT state, count(*) AS n FROM partitions WHERE name = 'sevenths' GROUP BY 1 ORDER BY 1")
    assert found.values.tolist() == [["COMPLETED", 4], ["FAILED", 1]]


def test_files_are_tables_and_none_is_made(cluster: Any, job: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rooms-1.csv").write_text("partition,room\n0,north\n1,south\n")
    Path("rooms-2.csv").write_text("partition,room\n2,east\n")
    query = "SELECT room FROM partitions JOIN 'rooms-*.csv' USING (partition) WHERE name = 'sevenths' ORDER BY room"
    assert cluster.sql(query)["room"].tolist() == ["east", "north", "south"]
    assert cluster.sql("SELECT room FROM read_csv(:path)", path="rooms-2.csv")["room"].tolist() == ["east"]
    with pytest.raises(InputError):
        cluster.sql("WITH x AS (COPY (SELECT 1) TO 'rooms-2.csv') FROM x")
    with pytest.raises(InputError):
        cluster.sql("FROM enable_logging('QueryLog', storage='file', storage_path='logged')")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rooms-1.csv", "rooms-2.csv"]
    assert Path("rooms-2.csv").read_text() == "partition,room\n2,east\n"


def test_tables_are_listed_and_described(cluster: Any) -> None:
    assert set(cluster.sql("SHOW TABLES")["name"]) == {
        "nodes", "jobs", "partitions", "attempts", "events", "logs", "results",
    }  # fmt: skip
    assert cluster.sql("DESCRIBE logs")["column_name"].tolist() == [
        "job",
        "name",
        "step",
        "partition",
        "attempt",
        "text",
    ]


def test_numbers_of_numpy_and_lists_are_parameters(cluster: Any, job: Any) -> None:
    query = "SELECT partition FROM partitions WHERE name = 'sevenths' AND partition {} ORDER BY 1"
    assert cluster.sql(query.format("> :last"), last=np.int64(3))["partition"].tolist() == [4]
    assert cluster.sql(query.format("IN :these"), these=np.array([0, 2]))["partition"].tolist() == [0, 2]


def test_the_command_line_takes_parameters(cluster: Any, job: Any, capsys: Any) -> None:
    from nbcluster.cli.admin import main

    question = ["sql", "SELECT :name AS name, partition, :least::DOUBLE AS least FROM partitions WHERE name = :name "
                "AND partition > :least"]  # fmt: skip
    url = ["--url", cluster.store.database.dialect.url.render_as_string(hide_password=False)]
    assert main([*question, "--param", "name=sevenths", "--param", "least=3", "--csv", *url]) == 0
    assert capsys.readouterr().out.splitlines() == ["name,partition,least", "sevenths,4,3.0"]
    for wrong in (["--param", "name"], ["--param", "name=a", "--param", "name=b"], ["--param", "name=a"]):
        assert main([*question, *wrong, *url]) == 2
        assert "param" in capsys.readouterr().err


def test_tables_of_ones_own_in_the_same_database_are_tables(cluster: Any, job: Any) -> None:
    def make(connection: Any) -> None:
        connection.exec_driver_sql(
            'CREATE TABLE scores (n BIGINT, half DOUBLE PRECISION, "of what" TEXT, good BOOLEAN)'
        )
        for n in range(3):
            connection.exec_driver_sql(f"INSERT INTO scores VALUES ({n}, {n / 2}, 'it''s {n}', {n == 1})")
        connection.exec_driver_sql("INSERT INTO scores (n) VALUES (3)")

    database = cluster.store.database
    database.write(make)
    try:
        found = cluster.sql('SELECT n, half, "of what" AS what, good FROM Scores ORDER BY n')
        assert found["n"].tolist() == [0, 1, 2, 3]
        assert found["half"].iloc[:3].tolist() == [0.0, 0.5, 1.0]
        assert found["half"].isna().tolist() == found["good"].isna().tolist() == [False] * 3 + [True]
        assert found["what"].iloc[1] == "it's 1"
        assert cluster.sql("SELECT sum(half) AS s FROM scores WHERE good")["s"].tolist() == [0.5]
        joined = "SELECT count(*) AS n FROM scores JOIN partitions p ON p.partition = n WHERE p.name = 'sevenths'"
        assert cluster.sql(joined)["n"].tolist() == [4]
        assert cluster.sql("SELECT count(*) AS n FROM scores")["n"].tolist() == [4]
    finally:
        database.write(lambda connection: connection.exec_driver_sql("DROP TABLE scores"))
    with pytest.raises(InputError, match="SQL: there is no table scores"):
        cluster.sql("SELECT * FROM scores")
    with pytest.raises(InputError, match="SQL: there is no table batch_partitions"):
        cluster.sql("SELECT * FROM batch_partitions")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name, state, count(*) AS n, sum(items) AS items FROM partitions GROUP BY ALL ORDER BY ALL",
        "SELECT count(*) AS n FROM partitions WHERE name = 'sevenths' AND (state = 'FAILED' OR partition < 2)",
        "SELECT count(*) AS n FROM partitions WHERE name <> 'sevenths' OR name IS NULL",
        "SELECT count(*) AS n FROM partitions WHERE name >= 'n' AND partition BETWEEN 1 AND 3",
        "SELECT a.partition, b.attempt FROM partitions a LEFT JOIN attempts b ON a.job = b.job "
        "AND a.partition = b.partition AND b.outcome = 'FAILED' WHERE a.name = 'sevenths' ORDER BY 1",
        "SELECT count(*) AS n FROM partitions p WHERE EXISTS (FROM attempts a WHERE a.job = p.job "
        "AND a.outcome = p.state)",
        "SELECT count(*) AS n FROM partitions a, partitions b WHERE a.name = 'sevenths' AND b.state = 'FAILED'",
        "WITH f AS (SELECT * FROM partitions WHERE state = 'FAILED') SELECT count(*) AS n FROM f, f AS g",
        "SELECT phase, count(*) AS n, count(partition) AS told FROM events WHERE name = 'sevenths' GROUP BY 1 "
        "ORDER BY 1",
        "SELECT count(*) AS n FROM events WHERE step = 'map' AND attempt = 1 AND phase = 'CLAIMED'",
        "SELECT count(*) AS n, max(length(text)) AS longest FROM logs WHERE name = 'sevenths' AND partition = 3",
        "SELECT item, error FROM results WHERE name = 'sevenths' AND partition = 3 ORDER BY item",
        "SELECT value FROM results WHERE name = 'sevenths' AND node IS NOT NULL AND partition >= 4 ORDER BY item",
        "SELECT outcome, count(*) AS n FROM attempts WHERE outcome = 'FAILED' AND attempt = 1 GROUP BY 1",
        "FROM partitions NATURAL JOIN attempts SELECT count(*) AS n",
        "SELECT * EXCLUDE (seconds, progress, claimed, ended) FROM partitions WHERE name = 'sevenths' "
        "ORDER BY partition",
        "SELECT count(*) AS n FROM (FROM partitions LIMIT 3)",
        "SELECT p.state FROM partitions p QUALIFY row_number() OVER (PARTITION BY p.job ORDER BY p.partition) = 1 "
        "ORDER BY p.job",
    ],
)
def test_what_is_not_read_changes_no_answer(cluster: Any, job: Any, monkeypatch: Any, query: str) -> None:
    from nbcluster import query as questions
    from nbcluster.query.wanted import everything

    lean = cluster.sql(query)
    monkeypatch.setattr(
        questions, "of_plan", lambda _plan, tables: {name: everything(columns) for name, columns in tables.items()}
    )
    pd.testing.assert_frame_equal(lean, cluster.sql(query))
    assert len(lean)
