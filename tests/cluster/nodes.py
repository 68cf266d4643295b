"""Real node processes, and processes in general: start, kill, freeze, look inside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import wait_until

_READY = re.compile(r"INFO (\S+) is ready:")
_RENAMED = re.compile(r"it goes on as (\S+)")
START_SECONDS = 60.0


def settings_environment(url: str, settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with a URL and settings as ``nbcluster-node`` reads them."""
    given = {f"NBCLUSTER_{name.upper()}": str(value) for name, value in settings.items()}
    return os.environ | {"NBCLUSTER_URL": url} | given


def processes() -> dict[int, int]:
    """Every process of this machine with its parent; zombies are gone already."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in ("Z", "X"):
                found[int(folder.name)] = int(fields[1])
    return found


def alive(pid: int) -> bool:
    return pid in processes()


class OneProcess:
    """A process of ours with its output in a file."""

    def __init__(self, command: list[str], log: Path, environ: Mapping[str, str], folder: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                cwd=folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def children(self) -> set[int]:
        return {pid for pid, parent in processes().items() if parent == self.pid}

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.process.wait(10)

    def freeze(self, *, family: bool = False) -> None:
        """Stop it, with its children if ``family``, until ``thaw``."""
        self.send(signal.SIGSTOP)
        for pid in self.children() if family else ():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGCONT)
        for pid in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """Whatever state it is in: no process stays behind."""
        if self.running:
            family = self.children()
            self.thaw()
            self.kill()
            for pid in family:
                wait_until(lambda pid=pid: not alive(pid), message=f"the end of child {pid}")


class NodeProcess(OneProcess):
    """One ``nbcluster-node``."""

    def __init__(
        self,
        url: str,
        slots: int,
        log: Path,
        folder: Path,
        settings: Mapping[str, object],
        *,
        module: str = "nbcluster",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", module, "--slots", str(slots)]
        super().__init__(command, log, settings_environment(url, settings) | dict(environ or {}), folder)

    def ready(self) -> NodeProcess:
        """Wait until it has registered."""
        wait_until(
            lambda: _READY.search(self.said()) or not self.running,
            START_SECONDS,
            lambda: f"a node's readiness:\n{self.said()}",
        )
        assert self.running, self.said()
        return self

    @property
    def id(self) -> str:
        """The id under which it registered first."""
        found = _READY.search(self.said())
        assert found, self.said()
        return found[1]

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id under which it was registered: it gets a new one when its row was removed meanwhile."""
        said = self.said()
        return (*_READY.findall(said)[:1], *_RENAMED.findall(said))
