"""A database that cannot be used: one clear sentence each, never with a password."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from nbcluster.errors import ConfigError, DatabaseUnreachable, LoginRefused, NBClusterError
from nbcluster.store import Store, open_store

FRESH_DATABASE = True

SECRET = "open-sesame-1234"
NOBODY = 65534


def refusal(url: str, kind: type[NBClusterError]) -> str:
    """The sentence with which a URL is refused; nothing that is shown has the password."""
    with pytest.raises(kind) as raised:
        open_store(url)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert SECRET not in shown
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens: it is taken, but not listened on, for as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@contextmanager
def without_privileges() -> Iterator[None]:
    """Rights apply to this user: root gives its own away for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- a server ------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(closed_port: int) -> None:
    sentence = refusal(f"postgresql+psycopg://ada:{SECRET}@127.0.0.1:{closed_port}/lab", DatabaseUnreachable)
    assert sentence.startswith(f"postgresql+psycopg://ada:***@127.0.0.1:{closed_port}/lab cannot be reached (")
    assert sentence.endswith("is the server running?")


def test_a_host_that_does_not_exist() -> None:
    assert "cannot be reached" in refusal(f"postgresql://ada:{SECRET}@no-such-host.invalid/lab", DatabaseUnreachable)


@pytest.mark.needs("login")
def test_a_wrong_password(database_url: str) -> None:
    url = make_url(database_url).set(password=SECRET).render_as_string(hide_password=False)
    assert "refused the user or the password; check the URL" in refusal(url, LoginRefused)


@pytest.mark.needs("login")
def test_a_user_who_does_not_exist(database_url: str) -> None:
    url = make_url(database_url).set(username="mallory", password=SECRET).render_as_string(hide_password=False)
    assert "refused the user or the password" in refusal(url, LoginRefused)


@pytest.mark.needs("login")
def test_a_password_that_is_missing(database_url: str) -> None:
    url = make_url(database_url)._replace(password=None).render_as_string(hide_password=False)
    assert "refused the user or the password" in refusal(url, LoginRefused)


@pytest.mark.needs("login")
def test_a_database_that_does_not_exist(database_url: str) -> None:
    url = make_url(database_url).set(database="no_such_lab").render_as_string(hide_password=False)
    sentence = refusal(url, DatabaseUnreachable)
    assert sentence.endswith("there is no such database; create it, then run 'nbcluster init'")
    assert str(make_url(database_url).password) not in sentence


def test_an_open_database_shows_itself_without_its_password(store: Store, database_url: str) -> None:
    password = make_url(database_url).password
    for shown in (store.url, repr(store), repr(store.database), repr(store.signer)):
        assert password is None or str(password) not in shown
    assert store.url.partition(":")[0] == database_url.partition(":")[0]


# --- a file --------------------------------------------------------------------------------------


def test_a_file_that_is_no_sqlite_database(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_text("carrier,delay\n" * 1000)
    sentence = refusal(f"sqlite:///{path}", DatabaseUnreachable)
    assert sentence == f"{path} is not an SQLite database; choose another file"
    assert path.read_text().startswith("carrier,delay")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    sentence = refusal(f"sqlite:///{tmp_path}", DatabaseUnreachable)
    assert sentence.startswith(f"{tmp_path} cannot be used (unable to open database file)")


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = refusal(f"sqlite:///{tmp_path}/file/cluster.db", DatabaseUnreachable)
    assert sentence.startswith(f"{tmp_path}/file/cluster.db cannot be made: ")


def test_a_folder_that_one_may_not_write_to() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        with without_privileges():
            sentence = refusal(f"sqlite:///{folder}/cluster.db", DatabaseUnreachable)
        assert sentence == f"{folder}/cluster.db cannot be made: Permission denied"
        assert os.listdir(folder) == []


def test_a_file_that_one_may_not_write_to() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/cluster.db"
        open_store(url).close()
        os.chmod(folder, 0o755)
        os.chmod(f"{folder}/cluster.db", 0o444)
        with without_privileges():
            assert "cluster.db" in refusal(url, DatabaseUnreachable)


# --- URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is no database URL; write sqlite:///path/to/cluster.db or postgresql+psycopg://user@host/database"),
        ("cluster.db", "is no database URL"),
        (f"ada:{SECRET}@host/lab", "is no database URL"),
        (f"postgresql+psycopg://ada:{SECRET}@host:port/lab", "is no database URL"),
        (f"mysql://ada:{SECRET}@host/lab", "'mysql' is no database that nbcluster can meet in"),
        (f"postgres://ada:{SECRET}@host/lab", "'postgres' is no database that nbcluster can meet in"),
        (f"postgresql+psycopg2://ada:{SECRET}@host/lab", "'postgresql+psycopg2' is not supported"),
        (f"postgresql+asyncpg://ada:{SECRET}@host/lab", "'postgresql+asyncpg' is not supported"),
        (f"postgresql://ada@host/lab?password={SECRET}", "?password= would be shown in logs"),
        ("sqlite://", "an SQLite database in memory cannot be shared"),
        ("sqlite:///:memory:", "an SQLite database in memory cannot be shared"),
        ("sqlite+aiosqlite:///cluster.db", "'sqlite+aiosqlite' is not supported"),
    ],
)
def test_a_url_without_sense(url: str, says: str) -> None:
    assert says in refusal(url, ConfigError)


def test_a_file_that_is_moved_away_under_a_store_is_missed(tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "cluster.db", tmp_path / "elsewhere.db"
    with closing(open_store(f"sqlite:///{file}")) as store:
        file.rename(elsewhere)
        with pytest.raises(DatabaseUnreachable, match=r"cluster.db is gone: it was moved or deleted"):
            store.views.waiting()
        file.touch()
        with pytest.raises(DatabaseUnreachable, match=r"cluster.db is another file now: it was replaced while"):
            store.views.waiting()
        elsewhere.replace(file)
        assert store.views.waiting() == 0
