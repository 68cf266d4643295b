"""``nbcluster init``: the tables once, one key for all machines, and no second one by mistake."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nbcluster.cli.admin import main
from nbcluster.errors import ConfigError
from nbcluster.store import SCHEMA_VERSION, open_store

Say = pytest.CaptureFixture[str]
Machines = Callable[[str], Path]


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """``machines("a")`` goes on on machine a: each has its own folder of keys, and none in the environment."""
    monkeypatch.delenv("NBCLUSTER_KEY", raising=False)

    def use(name: str) -> Path:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / name))
        return tmp_path / name / "nbcluster" / "keys"

    return use


def init(url: str, say: Say, *options: str) -> tuple[int, str]:
    code = main(["init", "--url", url, *options])
    said = say.readouterr()
    return code, said.out + said.err


@pytest.mark.needs("file")
def test_a_file_is_made_once_with_its_own_key(database_url: str, capsys: Say) -> None:
    code, said = init(database_url, capsys)
    assert code == 0
    assert said.splitlines()[0] == f"{database_url}: the tables are made, schema version {SCHEMA_VERSION}"
    again = init(database_url, capsys)[1].splitlines()[0]
    assert again == f"{database_url}: already there, schema version {SCHEMA_VERSION}"
    assert os.environ["XDG_CONFIG_HOME"] not in said


@pytest.mark.needs("login")
def test_a_server_gets_tables_and_a_key_that_is_named(database_url: str, machines: Machines, capsys: Say) -> None:
    keys = machines("a")
    code, said = init(database_url, capsys)
    (key,) = keys.iterdir()
    assert code == 0
    assert f"Its new key is {key}" in said
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert ":***@" in said

    text = key.read_text()
    code, said = init(database_url, capsys)
    assert code == 0
    assert f"already there, schema version {SCHEMA_VERSION}" in said
    assert f"Its key is {key}" in said
    assert key.read_text() == text
    assert text not in said
    open_store(database_url).close()


@pytest.mark.needs("login")
def test_a_second_machine_is_told_to_copy_the_key_and_makes_none(
    database_url: str, machines: Machines, capsys: Say
) -> None:
    first = machines("a")
    init(database_url, capsys)
    second = machines("b")
    code, said = init(database_url, capsys)
    assert code == 2
    assert said.count("\n") == 1
    assert "copy " in said
    assert not second.exists()

    shutil.copytree(first, second)
    assert init(database_url, capsys)[0] == 0
    open_store(database_url).close()


@pytest.mark.needs("login")
def test_a_wrong_key_is_refused_when_connecting(
    database_url: str, machines: Machines, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    machines("a")
    init(database_url, capsys)
    monkeypatch.setenv("NBCLUSTER_KEY", "ab" * 32)
    with pytest.raises(ConfigError, match="the key on this machine is not that of"):
        open_store(database_url)
    code, said = init(database_url, capsys)
    assert code == 2
    assert "the key on this machine is not this cluster's" in said


@pytest.mark.needs("login")
def test_a_lost_key_is_replaced_when_asked_for_by_name(database_url: str, machines: Machines, capsys: Say) -> None:
    machines("a")
    init(database_url, capsys)
    second = machines("b")
    code, said = init(database_url, capsys, "--new-key")
    assert code == 0
    assert f"Its new key is {next(second.iterdir())}" in said
    open_store(database_url).close()
    machines("a")
    with pytest.raises(ConfigError, match="the key on this machine is not that of"):
        open_store(database_url)


@pytest.mark.needs("login")
def test_a_key_in_the_environment_is_taken(
    database_url: str, machines: Machines, monkeypatch: pytest.MonkeyPatch, capsys: Say
) -> None:
    keys = machines("a")
    monkeypatch.setenv("NBCLUSTER_KEY", "ab" * 32)
    code, said = init(database_url, capsys)
    assert code == 0
    assert "Its key is the one in NBCLUSTER_KEY" in said
    assert "abab" not in said
    assert not keys.exists()


def test_printing_the_statements_connects_to_nothing(tmp_path: Path, capsys: Say) -> None:
    url = f"sqlite:///{tmp_path / 'cluster.db'}"
    assert "CREATE TABLE batch_partitions" in init(url, capsys, "--print")[1]
    assert "DROP TABLE IF EXISTS batch_partitions" in init(url, capsys, "--print", "--drop")[1]
    assert list(tmp_path.iterdir()) == []
    server = "postgresql+psycopg://ada:s3cret@127.0.0.1:1/lab"
    code, said = init(server, capsys, "--print")
    assert code == 0
    assert "TIMESTAMP WITH TIME ZONE" in said
    assert "s3cret" not in said
