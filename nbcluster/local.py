"""Nodes on this machine: start them, find them again, stop them.

They outlive the kernel that started them, on purpose: a kernel may die, its job
goes on.  Each holds a lock on a file of its own for as long as it lives, so a
process id that was reused is never mistaken for a node.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nbcluster.config import state_directory
from nbcluster.errors import NodeError

_POLL = 0.02
_LOG_LINES = 6


class LocalNodes:
    """The node processes of one database that were started on this machine by ``up``."""

    def __init__(self, url: str, shown_url: str) -> None:
        self._url = url
        digest = hashlib.sha256(shown_url.encode()).hexdigest()[:16]
        self._folder = state_directory() / "nodes" / digest

    def start(self, count: int, slots: int, settings: dict[str, str]) -> list[subprocess.Popen[bytes]]:
        """Start ``count`` nodes of ``slots`` slots each.  The URL goes by the environment: ``ps`` shows no password."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        environ = os.environ | {f"NBCLUSTER_{name.upper()}": value for name, value in settings.items()}
        environ |= {"NBCLUSTER_URL": self._url, "NBCLUSTER_SLOTS": str(slots)}
        return [self._start_one(environ) for _ in range(count)]

    def _start_one(self, environ: dict[str, str]) -> subprocess.Popen[bytes]:
        lock = self._folder / f"{time.time_ns()}.lock"
        with open(lock.with_suffix(".log"), "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "nbcluster", "--lock-file", str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                start_new_session=True,  # the kernel's interrupt and its end are not theirs
            )
        # Reaped as soon as it ends, so that no zombie stays behind in a long-lived kernel.
        threading.Thread(target=process.wait, name="nbcluster-reaper", daemon=True).start()
        self._remember(process.pid, lock)
        return process

    def _remember(self, pid: int, lock: Path) -> None:
        lock.with_suffix(".pid").write_text(str(pid))

    def wait_until(
        self, processes: list[subprocess.Popen[bytes]], registered: Callable[[], set[int]], timeout: float
    ) -> None:
        """Until all of them beat.  Raises NodeError with the last lines of whoever ended instead."""
        wanted = {process.pid for process in processes}
        deadline = time.monotonic() + timeout
        while not wanted <= registered():
            ended = next((process for process in processes if process.poll() is not None), None)
            if ended is not None or time.monotonic() > deadline:
                why = f"ended with code {ended.returncode}" if ended else f"did not register within {timeout:g} s"
                lines = self._last_lines(ended.pid if ended else processes[0].pid)
                self.stop(5.0, only=wanted)
                raise NodeError(f"a local node {why}: {lines}")
            time.sleep(_POLL)

    def _last_lines(self, pid: int) -> str:
        for file in self._folder.glob("*.pid"):
            if file.read_text() == str(pid):
                with contextlib.suppress(OSError):
                    lines = file.with_suffix(".log").read_text(errors="replace").strip().splitlines()
                    return " / ".join(lines[-_LOG_LINES:])
        return "see its log"

    def stop(self, timeout: float, only: set[int] | None = None) -> int:
        """Stop every local node, or those processes: gently, then firmly, then by force; gives how many there were."""
        alive = {file: pid for file in self._folder.glob("*.pid") if (pid := self._living(file)) is not None}
        if only is not None:
            alive = {file: pid for file, pid in alive.items() if pid in only}
        deadline = time.monotonic() + timeout
        for steps, number in ((0.6, signal.SIGTERM), (0.9, signal.SIGTERM), (1.0, signal.SIGKILL)):
            waiting = {file: pid for file, pid in alive.items() if self._living(file) is not None}
            for pid in waiting.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = deadline - timeout * (1 - steps)
            while any(self._living(file) is not None for file in waiting) and time.monotonic() < until:
                time.sleep(_POLL)
        for file in self._folder.glob("*.pid"):
            if self._living(file) is None:
                for suffix in (".pid", ".lock", ".log"):
                    file.with_suffix(suffix).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # unless a node is in it still
        return len(alive)

    def _living(self, file: Path) -> int | None:
        """The process id behind a file, if that very process lives."""
        try:
            pid = int(file.read_text())
            os.kill(pid, 0)
            descriptor = os.open(file.with_suffix(".lock"), os.O_RDWR)
        except FileNotFoundError:
            # It has not come so far as to make its lock; it counts as living while it runs.
            return pid if file.exists() and _is_ours(pid) else None
        except (OSError, ValueError):
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return pid
        finally:
            os.close(descriptor)
        return pid if _is_ours(pid) else None


def _is_ours(pid: int) -> bool:
    """Whether that process is a node that is just starting or ending (Linux; elsewhere the lock must do)."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"--lock-file" in command and b"nbcluster" in command
