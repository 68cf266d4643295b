"""A PostgreSQL that can be stopped, killed, frozen and started again at the same port.

A supervisor process of one thread owns the server, as in tests/postgres.py: it takes one
command a line from its standard input, and ends the server when that is closed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.nodes import processes
from tests.postgres import (
    USER,
    Account,
    NoPostgres,
    PostgresServer,
    launch,
    make_data_directory,
    private_home,
    start,
    stop,
    usable_binaries,
)

ROOT = Path(__file__).resolve().parents[2]
HOW = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}


class OwnServer(PostgresServer):
    """The client side: every call returns when it is done."""

    def __init__(self, supervisor: subprocess.Popen[str], url: str, pid: int) -> None:
        super().__init__(url)
        self._supervisor = supervisor
        self.pid = pid
        self.running = True

    @property
    def supervisor(self) -> int:
        """The id of the process under which the server runs."""
        return self._supervisor.pid

    def stop(self, how: str = "fast") -> None:
        """``fast`` ends its sessions in good order, ``immediate`` at once, ``kill`` is kill -9."""
        self._ask(how)
        self.running = False

    def start(self) -> None:
        """Start it again: same port, same data."""
        self.pid = int(self._ask("start")["pid"])
        self.running = True

    def freeze(self) -> None:
        """Stop the server and every session in mid-word, with their connections open."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        return [self.pid, *(pid for pid, parent in processes().items() if parent == self.pid)]

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(f"{command}\n")
        self._supervisor.stdin.flush()
        return answer(self._supervisor)


def answer(supervisor: subprocess.Popen[str]) -> dict[str, Any]:
    assert supervisor.stdout is not None
    line = supervisor.stdout.readline()
    said: dict[str, Any] = json.loads(line) if line else {"error": "the supervisor of PostgreSQL ended"}
    if "missing" in said:
        raise NoPostgres(said["missing"])
    if "error" in said:
        raise RuntimeError(said["error"])
    return said


@contextlib.contextmanager
def own_server() -> Iterator[OwnServer]:
    """A server for the length of a ``with`` block.  Raises NoPostgres when none can be had."""
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=ROOT,
        text=True,
    )
    assert supervisor.stdin is not None
    try:
        said = answer(supervisor)
        server = OwnServer(supervisor, said["url"], said["pid"])
        try:
            yield server
        finally:
            server.thaw()
    finally:
        supervisor.stdin.close()
        supervisor.wait(timeout=60)


# --- the supervisor --------------------------------------------------------------------------------------------------


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def supervise() -> None:
    """Start a server and obey until the standard input is closed."""
    account = Account()
    with private_home(account) as home:
        binaries = usable_binaries(os.environ.get("NBCLUSTER_TEST_POSTGRES_SOURCE", ""), account, home)
        password = secrets.token_urlsafe(18)
        data = make_data_directory(binaries, home, account, password)
        process, port = start(binaries, data, home, account)
        try:
            say(url=f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{port}/postgres", pid=process.pid)
            for line in sys.stdin:
                command = line.strip()
                if command == "start":
                    process = start_again(binaries, data, home, account, port)
                else:
                    process.send_signal(HOW[command])
                    process.wait(60)
                say(pid=process.pid)
        finally:
            stop(process)


def start_again(binaries: Path, data: Path, home: Path, account: Account, port: int) -> subprocess.Popen[bytes]:
    """After a kill -9 the old sessions must first notice that their server is gone."""
    for _ in range(100):
        process = launch(binaries, data, home, account, port)
        if process.poll() is None:
            return process
        time.sleep(0.2)
    raise RuntimeError((home / "log").read_text(errors="replace")[-4000:])


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        supervise()
    except NoPostgres as missing:
        say(missing=str(missing))
        return 1
    except Exception as error:
        say(error=repr(error))
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
