"""A node that cannot start says why in one sentence, with its exit code, and leaves no process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from nbcluster.cli.node import main
from nbcluster.store import schema
from nbcluster.store.engine import Database
from tests.cluster.database import Tables, prepare
from tests.conftest import processes_of_this_run

SECRET = "correct-horse"


def refused(*options: str, **environ: str) -> tuple[int, str]:
    """Exit code and complaint of a node that does not start."""
    before = set(processes_of_this_run())
    done = subprocess.run(
        [sys.executable, "-m", "nbcluster", *options],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    check(done.stderr)
    assert set(processes_of_this_run()) <= before
    return done.returncode, done.stderr


def check(complaint: str) -> None:
    """One sentence, and no secret in it."""
    assert complaint.count("\n") == 1, complaint
    assert complaint.startswith("nbcluster-node: ")
    assert len(complaint) < 400
    assert SECRET not in complaint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slots", "0"], "slots: 0 is too few; write 1 or more"),
        (["--slots", "-1"], "slots: -1 is too few"),
        (["--slots", "x"], "slots: 'x' is no whole number"),
        (["--slots", "1.5"], "slots: '1.5' is no whole number"),
        (["--slots", "99999999999"], "slots: 99999999999 is too many"),
        (["--heartbeat-interval", "0"], "heartbeat-interval: 0 is no positive duration"),
        (["--heartbeat-interval", "soon"], "heartbeat-interval: 'soon' is no duration; write for example 3s"),
        (["--heartbeat-interval=-3s"], "heartbeat-interval: '-3s' is no duration"),
        (["--heartbeat-interval", "nan"], "heartbeat-interval: nan is no positive duration"),
        (["--heartbeat-interval", "10s"], "heartbeat-interval (10s) must be shorter than unreachable-node-threshold"),
        (["--node-cleanup-threshold", "10s"], "unreachable-node-threshold (10s) must be shorter than node-cleanup"),
        (["--shutdown-grace", "0"], "shutdown-grace: 0 is no positive duration"),
        (["--node-id-prefix", "n" * 300], "(300 characters) cannot name a node; use at most 100 letters"),
        (["--node-id-prefix", "a\"b'<script>"], "cannot name a node"),
        (["--node-id-prefix", ""], "cannot name a node"),
        (["--host-identifier", "moon"], "'moon' is not one of host-name, ip-address"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate; nbcluster-node --help"),
        (["--slots"], "argument --slots: expected one argument"),
        (["extra"], "unrecognized arguments: extra"),
        (["--url", "nonsense"], "'nonsense' is no database URL; write sqlite:///path/to/cluster.db or postgresql+psyc"),
        (["--url", f"mysql://user:{SECRET}@host/db"], "'mysql' is no database that nbcluster can meet in"),
        (["--url", f"postgresql+psycopg://user:{SECRET}@host:x/db"], "is no database URL"),
        (["--url", f"postgresql+psycopg2://user:{SECRET}@host/db"], "is not supported; write postgresql+psycopg://"),
        (["--url", "sqlite://"], "in memory cannot be shared"),
    ],
)
def test_senseless_options(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    complaint = capsys.readouterr().err
    check(complaint)
    assert said in complaint


def test_a_senseless_option_ends_a_real_process_too() -> None:
    code, complaint = refused("--slots", "0")
    assert (code, complaint) == (2, "nbcluster-node: slots: 0 is too few; write 1 or more\n")


def test_settings_of_the_environment_are_named_as_such() -> None:
    code, complaint = refused(NBCLUSTER_SLOTS="none")
    assert (code, "NBCLUSTER_SLOTS: 'none' is no whole number" in complaint) == (2, True)


def test_databases_that_are_not_there(tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear database, " * 100)
    for url, said in {
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db": "cannot be reached",
        f"postgresql+psycopg://user:{SECRET}@nowhere.invalid/db": "cannot be reached",
        f"sqlite:///{text}": "is not an SQLite database; choose another file",
        f"sqlite:///{text}/cluster.db": "cannot be made",
        f"sqlite:///{tmp_path}": "cannot be used",
    }.items():
        code, complaint = refused("--url", url)
        assert (code, said in complaint) == (3, True), complaint


@pytest.mark.needs("login")
def test_a_server_that_refuses(database_url: str) -> None:
    url = make_url(database_url)
    wrong = url.set(password=SECRET).render_as_string(hide_password=False)
    missing = url.set(database="not_there").render_as_string(hide_password=False)
    for given, code, said in [
        (wrong, 3, "refused the user or the password"),
        (missing, 3, "there is no such database; create it, then run 'nbcluster init'"),
        (database_url, 4, "has no nbcluster tables; run: nbcluster init --url"),
    ]:
        found, complaint = refused(NBCLUSTER_URL=given)
        assert (found, said in complaint) == (code, True), complaint
        assert str(url.password) not in complaint


@pytest.mark.needs("login")
def test_a_machine_without_the_key(database_url: str, tmp_path: Path) -> None:
    prepare(database_url)
    code, complaint = refused(NBCLUSTER_URL=database_url, XDG_CONFIG_HOME=str(tmp_path))
    assert code == 2
    assert "this cluster's key is not on this machine: copy " in complaint
    code, complaint = refused(NBCLUSTER_URL=database_url, NBCLUSTER_KEY="short")
    assert code == 2
    assert "NBCLUSTER_KEY holds no key of 32 bytes" in complaint


def test_a_newer_schema(database_url: str) -> None:
    prepare(database_url)
    newer = schema.SCHEMA_VERSION + 1
    Tables(database_url).change(
        "UPDATE batch_cluster SET value = :version WHERE name = 'schema_version'", version=str(newer)
    )
    code, complaint = refused(NBCLUSTER_URL=database_url)
    assert code == 4
    assert f"has schema version {newer}, made by a newer nbcluster" in complaint
    assert "upgrade nbcluster here" in complaint


@pytest.mark.needs("file")
def test_an_embedded_file_without_tables_that_must_not_be_made(database_url: str) -> None:
    database = Database(database_url)
    database.close()
    code, complaint = refused(NBCLUSTER_URL=database_url, NBCLUSTER_INITIALIZE_SCHEMA="never")
    assert code == 4
    assert "has no nbcluster tables; run: nbcluster init" in complaint
